"""What `interop/run` is made of: peers and servers (processes), cases (what to try), report (what came of it)."""
