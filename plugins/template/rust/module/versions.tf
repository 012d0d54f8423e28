# Built-in resources only: nothing is downloaded and nothing costs anything. A real cloud names its provider here, in
# exactly the version that src/descriptor.rs declares.
terraform {
  required_version = ">= 1.6.0"
}
