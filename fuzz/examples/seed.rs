//! Makes the seed corpus, out of the golden frames mostly: `cargo run --example seed` in this folder.

use std::{error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let headers = root.join("corpus/proxy_header");
    fs::create_dir_all(&headers)?;
    fs::write(headers.join("v1"), b"PROXY TCP4 10.9.8.7 10.0.0.1 5555 9876\r\n")?;
    fs::write(
        headers.join("v2"),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x12\x0a\x09\x08\x07\x0a\0\0\x01\x15\xb3\x26\x94\xea\0\x03vpc",
    )?;
    let files = root.join("corpus/config_file");
    fs::create_dir_all(&files)?;
    fs::write(files.join("toml"), b"port = 10911\nretention = \"7d\" # a week\nproxy_from = [\"10.0.0.0/8\"]\n")?;
    fs::write(files.join("conf"), b"# a broker\nbrokerName = b\\u0031\nstorePathRootDir: /data, \\\n  more\n")?;
    let filters = root.join("corpus/filter");
    fs::create_dir_all(&filters)?;
    let expressions = [
        "a > 5 AND b BETWEEN -1 AND 2.5 OR NOT (c IS NULL)\0a\x016\x02b\x010\x02",
        "region IN ('hz', 'sh''x') AND name NOT STARTSWITH 'o' -- why\n OR a = b\0region\x01hz\x02name\x01x\x02",
        "a CONTAINS 'x' = TRUE /* c */ AND b ENDSWITH '' OR c <> 5000000000 AND d IS NOT NULL\0a\x01x\x02",
    ];
    for (n, expression) in expressions.iter().enumerate() {
        fs::write(filters.join(n.to_string()), expression)?;
    }
    let requests = root.join("corpus/http_request");
    fs::create_dir_all(&requests)?;
    fs::write(requests.join("scrape"), b"GET /metrics?x=1 HTTP/1.1\r\nHost: node\r\nAccept: */*\r\n\r\n")?;
    for entry in fs::read_dir(root.join("../crates/testkit/golden"))? {
        let path = entry?.path();
        let (Some(name), Some("hex")) = (path.file_stem(), path.extension().and_then(|ext| ext.to_str())) else {
            continue;
        };
        let frame = hex(&fs::read_to_string(&path)?).ok_or("not hex")?;
        let (lengths, rest) = frame.split_at_checked(8).ok_or("no frame")?;
        let [_, _, _, _, kind, a, b, c] = lengths.try_into()?;
        let header_len = u32::from_be_bytes([0, a, b, c]) as usize;
        let (header, body) = rest.split_at_checked(header_len).ok_or("no header")?;
        let seed = |target: &str, bytes: &[u8]| {
            let folder = root.join("corpus").join(target);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(name), bytes)
        };
        seed("frame", &frame)?;
        seed(if kind == 0 { "json_header" } else { "binary_header" }, header)?;
        match body {
            [] => {}
            [b'{', ..] => seed("body_json", body)?,
            // A record has its magic number behind its length, a batch item zeros.
            [_, _, _, _, 0xda, 0xa3, 0x20, ..] => {
                seed("record", body)?;
                seed("stored_record", body)?;
                seed("apache_log", body)?;
                if let Some(at) = body.windows(5).position(|part| part == b"KEYS\x01") {
                    seed("properties", &body[at..])?;
                }
            }
            [_, _, _, _, 0, 0, 0, 0, ..] => seed("batch", body)?,
            other => seed("compression", other)?,
        }
    }
    Ok(())
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.trim().chars().map(|c| c.to_digit(16).map(|digit| digit as u8)).collect();
    Some(digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
