# Built-in resources only: nothing is downloaded and nothing costs anything.
terraform {
  required_version = ">= 1.6.0"
}
