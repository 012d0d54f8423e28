//! `catalyst openapi`: the document of the API without a server, for those who make clients of it.

use anyhow::Context;

/// Prints the document.
pub fn print() -> anyhow::Result<()> {
    let text = crate::http::document().to_pretty_json().context("cannot write the document")?;
    #[expect(clippy::print_stdout, reason = "the result of a command goes to whoever ran it")]
    {
        println!("{text}");
    }
    Ok(())
}
