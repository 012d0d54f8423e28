//! Rules that many clouds share, each as a function from text to the reason it is refused.

mod cidr;
mod names;
mod ssh;

pub use cidr::{CidrError, check_cidr};
pub use names::{is_dns_name, is_email};
pub use ssh::{KeyRemark, check_public_key};
