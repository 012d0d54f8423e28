# Each target is one thin line.
.PHONY: plugins

WASM := target/wasm32-wasip2/plugin

# The provider plugins as components: target/plugins/<id>.wasm
plugins:
	cargo build --profile plugin --target wasm32-wasip2 -p catalyst-plugin-hetzner -p catalyst-plugin-rehearsal
	mkdir -p target/plugins
	cp $(WASM)/catalyst_plugin_hetzner.wasm target/plugins/hetzner.wasm
	cp $(WASM)/catalyst_plugin_rehearsal.wasm target/plugins/rehearsal.wasm
