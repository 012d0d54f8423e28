# Each target is one thin line; what it does stands in scripts/.
.PHONY: run test plugins bench soak fuzz image sbom lint fmt help

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

run: ## build host and plugins, get OpenTofu if needed, serve on loopback with the rehearsal cloud
	@scripts/run.sh

test: ## run every test on real parts
	@scripts/test.sh

plugins: ## build the provider plugins into target/plugins
	@scripts/plugins.sh

bench: ## measure, as ratios in one run; fails where a goal is missed
	@scripts/bench.sh

soak: ## a million renders in a row and what memory they leave behind; a disk that fills in a hundred runs
	@scripts/bench.sh soak full-disk

fuzz: ## hold the readers of what strangers write against other readers for FUZZ_SECONDS (ten minutes)
	@scripts/fuzz.sh

image: ## lay out the file system of the container image in target/image
	@scripts/image.sh

sbom: ## write the bills of materials of host, plugins, OpenTofu and providers into target/sbom
	@scripts/sbom.sh

lint: ## formatting, clippy, documentation, and the dependencies
	@scripts/lint.sh

fmt: ## format the code
	@cargo fmt --all
