//! Parse, build, run, drain. The only place that ends the process.

use std::process::ExitCode;

fn main() -> ExitCode {
    match catalyst::cli::main() {
        Ok(code) => code,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the last word goes to whoever started the process")]
            {
                eprintln!("catalyst: {}", catalyst::cli::words(&error));
            }
            catalyst::cli::exit_code(&error)
        }
    }
}
