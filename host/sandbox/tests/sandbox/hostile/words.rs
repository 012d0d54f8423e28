//! Guests whose answers are too much, too odd, or not for the eye.

use catalyst_sandbox::Function;

use super::kinds::{End, Fear, Guest, fear};
use super::raw::Raw;

pub const FEARS: &[Fear] = &[
    fear("huge output", Guest::Asked("huge"), End::Handout, "validate handed out more than 4194304 bytes"),
    fear(
        "a message that nobody reads",
        Guest::Asked("long message"),
        End::BadOutput,
        "a finding's message is longer than 8192 bytes",
    ),
    fear("findings flood", Guest::Asked("many findings"), End::BadOutput, "5000 findings, at most 200 are allowed"),
    fear(
        "a pointer to nowhere",
        Guest::Asked("no pointer"),
        End::BadOutput,
        "a finding's pointer is not a JSON pointer",
    ),
    fear("huge log", Guest::Asked("log"), End::Harmless, "logged"),
    fear("print without an end of line", Guest::Asked("print on one line"), End::Harmless, "printed"),
    fear("a flood of print", Guest::Asked("print"), End::Harmless, "printed"),
    fear("a terminal's controls in a message", Guest::Asked("controls"), End::Harmless, "\u{fffd}[2J"),
    fear("text that reads backwards", Guest::Asked("backwards"), End::Harmless, "\u{fffd}cod"),
    fear(
        "no reason for a refusal",
        Guest::Rendering("no reason", ""),
        End::BadOutput,
        "no bundle, and no error among the findings",
    ),
    fear(
        "path traversal",
        Guest::Rendering("path", "../xyzzy"),
        End::BadOutput,
        "a path of the bundle is not relative and plain",
    ),
    fear("path traversal inside", Guest::Rendering("path", "a/../../xyzzy"), End::BadOutput, "not relative and plain"),
    fear(
        "absolute path",
        Guest::Rendering("path", "/etc/xyzzy"),
        End::BadOutput,
        "a path of the bundle is not relative and plain",
    ),
    fear(
        "a path of another system",
        Guest::Rendering("path", "a\\xyzzy"),
        End::BadOutput,
        "a backslash or a control character",
    ),
    fear(
        "a path with a null",
        Guest::Rendering("path", "xyzzy\0"),
        End::BadOutput,
        "a backslash or a control character",
    ),
    fear(
        "duplicate paths",
        Guest::Rendering("twice", ""),
        End::BadOutput,
        "two files of the bundle have the same path",
    ),
    fear(
        "paths that differ in case",
        Guest::Rendering("twice in case", ""),
        End::BadOutput,
        "differ in upper and lower case only",
    ),
    fear("a link as a mode", Guest::Rendering("mode", ""), End::Harmless, "mode: 511"),
    fear("a flood of files", Guest::Rendering("many files", ""), End::BadOutput, "1000 files, at most 256 are allowed"),
    fear(
        "a huge file",
        Guest::Rendering("huge file", ""),
        End::BadOutput,
        "a file of the bundle is larger than 1048576 bytes",
    ),
    fear(
        "variables that are no object",
        Guest::Rendering("variables", ""),
        End::BadOutput,
        "variables are not a JSON object",
    ),
    fear(
        "variables of brackets",
        Guest::Rendering("deep variables", ""),
        End::BadOutput,
        "variables are not a JSON object",
    ),
    fear(
        "a warning without an end",
        Guest::Rendering("long warning", ""),
        End::BadOutput,
        "a warning is longer than 8192 bytes",
    ),
    fear(
        "an address that is none",
        Guest::Called(
            || {
                let mut raw = Raw::new();
                let (address, host) = (raw.text("xyzzy"), raw.text("https://xyzzy"));
                let at = raw.words(&[&[0], &address[..], &address, &[0, 0], &host].concat());
                raw.gives(Function::ReadOutputs, at).build()
            },
            Function::ReadOutputs,
        ),
        End::BadOutput,
        "the control plane's address is not an IP address",
    ),
];
