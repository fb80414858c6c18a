//! Content-Encoding, undone (RFC 3261 §20.12).
//!
//! `deflate` is all that user agents use (COMPAT linphone 5.1: its notifications come so). Like HTTP's
//! it is the format of RFC 1950; the bare one of RFC 1951, which some take it for, is read too.

use super::{BodyError, Part, mime};
use miniz_oxide::inflate::{TINFLStatus, decompress_to_vec_with_limit, decompress_to_vec_zlib_with_limit};
use std::borrow::Cow;

/// The octets of a body without its content encoding; at most `limit` of them, so that a small body can't
/// become a large one.
///
/// # Errors
/// [`BodyError::UnsupportedEncoding`] for any other encoding and for more than one,
/// [`BodyError::TooLarge`], and [`BodyError::Malformed`] for what is not in the encoding.
pub fn decode<'a>(part: &Part<'a>, limit: usize) -> Result<Cow<'a, [u8]>, BodyError> {
    if mime::is_identity(part.encoding) {
        return Ok(Cow::Borrowed(part.octets));
    }
    if !part.encoding.is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case("deflate")) {
        return Err(BodyError::UnsupportedEncoding);
    }
    let inflated =
        decompress_to_vec_zlib_with_limit(part.octets, limit).or_else(|error| match error.status {
            TINFLStatus::HasMoreOutput => Err(error),
            _ => decompress_to_vec_with_limit(part.octets, limit),
        });
    match inflated {
        Ok(octets) => Ok(Cow::Owned(octets)),
        Err(error) if error.status == TINFLStatus::HasMoreOutput => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use miniz_oxide::deflate::{compress_to_vec, compress_to_vec_zlib};

    fn encoded<'a>(encoding: Option<&'a str>, octets: &'a [u8]) -> Part<'a> {
        Part { encoding, octets, ..Part::default() }
    }

    #[test]
    fn deflate_is_undone_in_both_its_formats() {
        let text = b"<imdn xmlns='urn:ietf:params:xml:ns:imdn'/>".repeat(20);
        for packed in [compress_to_vec_zlib(&text, 6), compress_to_vec(&text, 6)] {
            for encoding in ["deflate", " Deflate "] {
                assert_eq!(*decode(&encoded(Some(encoding), &packed), 2000).unwrap(), *text);
            }
        }
        assert_eq!(*decode(&encoded(None, b"as it is"), 4).unwrap(), *b"as it is");
        assert_eq!(*decode(&encoded(Some("identity"), b"as it is"), 4).unwrap(), *b"as it is");
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let bomb = vec![0; 10_000_000];
        for packed in [compress_to_vec_zlib(&bomb, 9), compress_to_vec(&bomb, 9)] {
            assert!(packed.len() < 65_536);
            let error = decode(&encoded(Some("deflate"), &packed), 65_536).unwrap_err();
            assert_eq!(error, BodyError::TooLarge);
        }
    }

    #[test]
    fn other_encodings_and_broken_ones_are_refused() {
        for encoding in ["gzip", "deflate, deflate", "deflate;x", "br"] {
            let error = decode(&encoded(Some(encoding), b"x"), 100).unwrap_err();
            assert_eq!(error, BodyError::UnsupportedEncoding, "{encoding}");
        }
        for octets in [&b""[..], b"\xff\xff\xff", b"plain text", &compress_to_vec_zlib(b"abcabcabc", 6)[..5]]
        {
            assert_eq!(decode(&encoded(Some("deflate"), octets), 100).unwrap_err(), BodyError::Malformed);
        }
    }
}
