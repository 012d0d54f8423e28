//! Makes an input smaller as long as it stays what it is: parts are left out, halves first, down to single bytes.

/// The smallest input that was found for which `still` holds within so many checks; `input` itself where it holds for no smaller
/// one.
///
/// # Errors
/// Those of `still`.
pub fn minimize(
    input: &[u8],
    most_checks: usize,
    mut still: impl FnMut(&[u8]) -> anyhow::Result<bool>,
) -> anyhow::Result<Vec<u8>> {
    let mut smallest = input.to_vec();
    let mut checks = 0;
    // Whole lines first: what is left can be read by a person.
    for by_lines in [true, false] {
        let mut size = parts(&smallest, by_lines).len().div_ceil(2);
        while size > 0 && checks < most_checks {
            let mut at = 0;
            loop {
                let parts = parts(&smallest, by_lines);
                if at >= parts.len() || checks >= most_checks {
                    break;
                }
                let end = (at + size).min(parts.len());
                let shorter = [parts[..at].concat(), parts[end..].concat()].concat();
                checks += 1;
                if still(&shorter)? {
                    smallest = shorter;
                } else {
                    at = end;
                }
            }
            size /= 2;
        }
    }
    Ok(smallest)
}

fn parts(input: &[u8], by_lines: bool) -> Vec<Vec<u8>> {
    if by_lines {
        input.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    } else {
        input.iter().map(|byte| vec![*byte]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_is_left() {
        let input = b"one\ntwo\nthree needle four\nfive\n";
        let still = |input: &[u8]| Ok(input.windows(6).any(|part| part == b"needle"));
        assert_eq!(minimize(input, 1_000, still).unwrap(), b"needle");
    }
}
