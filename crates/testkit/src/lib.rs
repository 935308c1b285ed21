//! What the tests of the other crates share: golden bytes, a disk that loses power, a scripted peer.
