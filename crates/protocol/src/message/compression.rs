//! Bodies that a producer compressed (spec/broker.md C.3). Brokers pass them on as they are.

use std::io;

use super::SysFlag;

/// How a body is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CompressionType {
    /// RFC 1950, which every client reads. Needs the feature `zlib`, a default one.
    #[default]
    Zlib,
    /// LZ4 frames; Java 5 only. Needs the feature `lz4`.
    Lz4,
    /// Zstandard; Java 5 only. Needs the feature `zstd`.
    Zstd,
}

impl CompressionType {
    /// The bits of [`SysFlag`] that say so, without [`SysFlag::COMPRESSED`].
    pub const fn sys_flag(self) -> SysFlag {
        SysFlag(match self {
            CompressionType::Lz4 => 0x100,
            CompressionType::Zstd => 0x200,
            CompressionType::Zlib => 0x300,
        })
    }

    /// What the bits of `flag` say; no bits mean zlib, as before there were bits.
    pub const fn of(flag: SysFlag) -> Result<CompressionType, CompressionError> {
        match flag.0 & SysFlag::COMPRESSION_MASK.0 {
            0 | 0x300 => Ok(CompressionType::Zlib),
            0x100 => Ok(CompressionType::Lz4),
            0x200 => Ok(CompressionType::Zstd),
            bits => Err(CompressionError::Unknown(bits >> 8)),
        }
    }

    /// The feature of this crate that brings the codec.
    const fn feature(self) -> &'static str {
        match self {
            CompressionType::Zlib => "zlib",
            CompressionType::Lz4 => "lz4",
            CompressionType::Zstd => "zstd",
        }
    }
}

/// A body that cannot be compressed or decompressed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressionError {
    /// The message says a type that is not defined.
    #[error("unknown compression type {0}")]
    Unknown(i32),
    /// This build has no such codec.
    #[error("{0:?} is not built in; enable the feature `{feature}` of rocketwire-protocol", feature = .0.feature())]
    Unsupported(CompressionType),
    /// It is not what the message says, or damaged.
    #[error("compressed body is damaged")]
    Damaged(#[source] io::Error),
    /// Decompressed it is larger than whoever reads it accepts.
    #[error("body decompresses to more than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

/// Compresses a body. The `level` runs from 0 or 1 (fast) to 9 (small) for zlib, where Java takes 5, and to 22
/// for Zstandard; LZ4 has none.
pub fn compress(kind: CompressionType, level: i32, body: &[u8]) -> Result<Vec<u8>, CompressionError> {
    match kind {
        #[cfg(feature = "zlib")]
        CompressionType::Zlib => {
            use io::Read as _;

            let level = flate2::Compression::new(level.clamp(0, 9) as u32);
            let mut out = Vec::with_capacity(body.len() / 2 + 64);
            flate2::read::ZlibEncoder::new(body, level)
                .read_to_end(&mut out)
                .map_err(CompressionError::Damaged)?;
            Ok(out)
        }
        #[cfg(feature = "lz4")]
        CompressionType::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::with_capacity(body.len() / 2 + 64));
            io::Write::write_all(&mut encoder, body).map_err(CompressionError::Damaged)?;
            encoder.finish().map_err(|e| CompressionError::Damaged(io::Error::other(e)))
        }
        #[cfg(feature = "zstd")]
        CompressionType::Zstd => {
            zstd::stream::encode_all(body, level.clamp(1, 22)).map_err(CompressionError::Damaged)
        }
        #[allow(unreachable_patterns)] // with every feature there is no other
        _ => {
            let _ = (level, body);
            Err(CompressionError::Unsupported(kind))
        }
    }
}

/// Decompresses a body by the type that `flag` says; whether it is compressed is the caller's to know
/// ([`SysFlag::is_compressed`]).
///
/// More than `limit` bytes are an error, found after `limit` bytes of work and memory.
pub fn decompress(flag: SysFlag, body: &[u8], limit: usize) -> Result<Vec<u8>, CompressionError> {
    match CompressionType::of(flag)? {
        #[cfg(feature = "zlib")]
        CompressionType::Zlib => read_up_to(flate2::read::ZlibDecoder::new(body), body.len(), limit),
        #[cfg(feature = "lz4")]
        CompressionType::Lz4 => read_up_to(lz4_flex::frame::FrameDecoder::new(body), body.len(), limit),
        #[cfg(feature = "zstd")]
        CompressionType::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(body).map_err(CompressionError::Damaged)?;
            decoder.window_log_max(window_log(limit)).map_err(CompressionError::Damaged)?;
            read_up_to(decoder, body.len(), limit)
        }
        #[allow(unreachable_patterns)] // with every feature there is no other
        kind => {
            let _ = (body, limit);
            Err(CompressionError::Unsupported(kind))
        }
    }
}

/// The decoder's window is announced by the peer: allow the limit, and the 8 MiB of the usual levels.
#[cfg(feature = "zstd")]
fn window_log(limit: usize) -> u32 {
    limit.checked_next_power_of_two().map_or(27, usize::trailing_zeros).clamp(23, 27)
}

#[cfg(any(feature = "zlib", feature = "lz4", feature = "zstd"))]
fn read_up_to(decoder: impl io::Read, compressed: usize, limit: usize) -> Result<Vec<u8>, CompressionError> {
    use io::Read as _;

    // A guess from what is there, not from what the peer announces.
    let mut out = Vec::with_capacity(compressed.saturating_mul(2).min(limit));
    let limit = if crate::planted::planted("decompression without a limit") { usize::MAX } else { limit };
    decoder
        .take((limit as u64).saturating_add(1))
        .read_to_end(&mut out)
        .map_err(CompressionError::Damaged)?;
    if out.len() > limit {
        return Err(CompressionError::TooLarge { limit });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_three_bits() {
        for kind in [CompressionType::Zlib, CompressionType::Lz4, CompressionType::Zstd] {
            assert_eq!(CompressionType::of(kind.sys_flag()).unwrap(), kind);
        }
        assert_eq!(CompressionType::of(SysFlag(1)).unwrap(), CompressionType::Zlib);
        assert!(matches!(CompressionType::of(SysFlag(0x501)), Err(CompressionError::Unknown(5))));
    }

    #[cfg(any(feature = "zlib", feature = "lz4", feature = "zstd"))]
    fn holds(kind: CompressionType) {
        let body = b"rocketwire ".repeat(10_000);
        let small = compress(kind, 5, &body).unwrap();
        assert!(small.len() < body.len() / 10);
        let flag = kind.sys_flag();
        assert_eq!(decompress(flag, &small, body.len()).unwrap(), body);
        let limit = body.len() - 1;
        let bomb = decompress(flag, &small, limit);
        assert!(matches!(bomb, Err(CompressionError::TooLarge { limit: l }) if l == limit));
        let cut = decompress(flag, small.get(..small.len() / 2).unwrap(), body.len());
        assert!(matches!(cut, Err(CompressionError::Damaged(_))), "{cut:?}");
        assert!(matches!(decompress(flag, b"plain text", 100), Err(CompressionError::Damaged(_))));
        let empty = compress(kind, 5, b"").unwrap();
        assert_eq!(decompress(flag, &empty, 0).unwrap(), b"");
    }

    #[cfg(feature = "zlib")]
    #[test]
    fn zlib_round_trip_and_limit() {
        holds(CompressionType::Zlib);
    }

    #[cfg(feature = "lz4")]
    #[test]
    fn lz4_round_trip_and_limit() {
        holds(CompressionType::Lz4);
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_round_trip_and_limit() {
        holds(CompressionType::Zstd);
    }

    #[cfg(not(feature = "lz4"))]
    #[test]
    fn a_codec_that_is_not_built_in_names_its_feature() {
        let error = compress(CompressionType::Lz4, 5, b"").unwrap_err();
        assert!(error.to_string().contains("`lz4`"), "{error}");
    }
}
