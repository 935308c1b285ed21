//! JSON bodies in fastjson's dialect.
