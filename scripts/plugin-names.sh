# The provider plugins of this repository, named once for every script.
# shellcheck shell=bash disable=SC2034
plugins=(hetzner openstack rehearsal)
plugin_packages=("${plugins[@]/#/--package=catalyst-plugin-}")
