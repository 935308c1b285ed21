//! SHA-1, HMAC-SHA-1, MD5 and Base64: what RocketMQ's signatures and hash rings are made of.
//!
//! The protocol fixes these; none of them is a choice for anything new.

/// SHA-1 of the concatenation of `parts` (RFC 3174).
fn sha1(parts: &[&[u8]]) -> [u8; 20] {
    let mut state = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    blocks(parts, u64::to_be_bytes, |block| sha1_block(&mut state, block));
    let mut out = [0; 20];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    out
}

fn sha1_block(state: &mut [u32; 5], block: &[u8; 64]) {
    let mut window = [0u32; 16];
    for (word, bytes) in window.iter_mut().zip(block.chunks_exact(4)) {
        *word = bytes.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
    }
    let [mut a, mut b, mut c, mut d, mut e] = *state;
    for round in 0..80 {
        // The schedule lives in a ring of 16 words: w[t] = rotl1(w[t-3] ^ w[t-8] ^ w[t-14] ^ w[t-16]).
        let [w0, _, w2, .., w8, _, _, _, _, w13, _, _] = window;
        let word = w0;
        window.rotate_left(1);
        let [.., last] = &mut window;
        *last = (w13 ^ w8 ^ w2 ^ w0).rotate_left(1);
        let (mix, constant) = match round / 20 {
            0 => (b & c | !b & d, 0x5a82_7999),
            1 => (b ^ c ^ d, 0x6ed9_eba1),
            2 => (b & c | b & d | c & d, 0x8f1b_bcdc),
            _ => (b ^ c ^ d, 0xca62_c1d6u32),
        };
        let next =
            a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant).wrapping_add(word);
        (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d, e]) {
        *word = word.wrapping_add(add);
    }
}

/// HMAC-SHA-1 of the concatenation of `parts` (RFC 2104).
pub(crate) fn hmac_sha1(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let hashed;
    let key = if key.len() > 64 {
        hashed = sha1(&[key]);
        &hashed[..]
    } else {
        key
    };
    let padded = |with: u8| {
        let mut pad = [with; 64];
        for (pad, key) in pad.iter_mut().zip(key) {
            *pad ^= key;
        }
        pad
    };
    let inner_pad = padded(0x36);
    let mut inner: Vec<&[u8]> = Vec::with_capacity(parts.len() + 1);
    inner.push(&inner_pad);
    inner.extend_from_slice(parts);
    sha1(&[&padded(0x5c), &sha1(&inner)])
}

/// MD5 (RFC 1321): places clients and queues on the ring of consistent hashing.
pub(crate) fn md5(text: &[u8]) -> [u8; 16] {
    let mut state = [0x6745_2301u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
    blocks(&[text], u64::to_le_bytes, |block| md5_block(&mut state, block));
    let mut out = [0; 16];
    for (bytes, word) in out.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    out
}

fn md5_block(state: &mut [u32; 4], block: &[u8; 64]) {
    const SHIFTS: [[u32; 4]; 4] = [[7, 12, 17, 22], [5, 9, 14, 20], [4, 11, 16, 23], [6, 10, 15, 21]];
    let words: Vec<u32> = block
        .chunks_exact(4)
        .map(|bytes| bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte)))
        .collect();
    let [mut a, mut b, mut c, mut d] = *state;
    for round in 0..64usize {
        let (mix, index) = match round / 16 {
            0 => (b & c | !b & d, round),
            1 => (d & b | !d & c, 5 * round + 1),
            2 => (b ^ c ^ d, 3 * round + 5),
            _ => (c ^ (b | !d), 7 * round),
        };
        let word = words.get(index % 16).copied().unwrap_or_default();
        // RFC 1321 defines its table as the integer part of 2^32 * |sin(i + 1)|.
        let constant = (((round + 1) as f64).sin().abs() * 4_294_967_296.0) as u32;
        let shift = SHIFTS.get(round / 16).and_then(|row| row.get(round % 4)).copied().unwrap_or_default();
        let sum = a.wrapping_add(mix).wrapping_add(constant).wrapping_add(word);
        (a, d, c, b) = (d, c, b, b.wrapping_add(sum.rotate_left(shift)));
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

/// Cuts the concatenation of `parts` into 64-byte blocks, padded and closed by the length in bits.
fn blocks(parts: &[&[u8]], length_bytes: fn(u64) -> [u8; 8], mut each: impl FnMut(&[u8; 64])) {
    let mut message: Vec<u8> = parts.concat();
    let bits = (message.len() as u64).wrapping_mul(8);
    message.push(0x80);
    while message.len() % 64 != 56 {
        message.push(0);
    }
    message.extend_from_slice(&length_bytes(bits));
    for block in message.chunks_exact(64) {
        if let Ok(block) = block.try_into() {
            each(block);
        }
    }
}

/// Standard Base64 with padding (RFC 4648).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let mut word = 0u32;
        for i in 0..3 {
            word = word << 8 | u32::from(group.get(i).copied().unwrap_or_default());
        }
        for i in 0..4 {
            let six = (word >> (18 - 6 * i) & 63) as usize;
            let letter = ALPHABET.get(six).copied().unwrap_or_default();
            out.push(if i <= group.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sha1_has_the_vectors_of_its_rfc() {
        assert_eq!(hex(&sha1(&[b"abc"])), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hex(&sha1(&[])), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
        let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        let (head, tail) = two_blocks.split_at(17);
        assert_eq!(hex(&sha1(&[head, tail])), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    }

    #[test]
    fn hmac_sha1_has_the_vectors_of_rfc_2202() {
        assert_eq!(
            hex(&hmac_sha1(b"Jefe", &[b"what do ya want", b" for nothing?"])),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        let long_key = [0xaa; 80];
        let data = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hex(&hmac_sha1(&long_key, &[data])), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }

    #[test]
    fn md5_has_the_vectors_of_its_rfc() {
        assert_eq!(hex(&md5(b"")), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(hex(&md5(b"message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
        let long = b"12345678901234567890123456789012345678901234567890123456789012345678901234567890";
        assert_eq!(hex(&md5(long)), "57edf4a22be3c955ac49da2e2107b67a");
    }

    #[test]
    fn base64_pads() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }
}
