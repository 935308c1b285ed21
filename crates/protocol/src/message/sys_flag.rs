//! `sysFlag` of a message.

/// Bits that describe a message (Java: `MessageSysFlag`). Unknown bits are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SysFlag(pub i32);

/// What a message is to a transaction: bits `0xc` of its [`SysFlag`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TransactionType {
    /// An ordinary message.
    #[default]
    None,
    /// A half message: invisible until its transaction is committed.
    Prepared,
    /// The message of a committed transaction.
    Commit,
    /// The mark of one that was rolled back.
    Rollback,
}

impl SysFlag {
    /// The body is compressed.
    pub const COMPRESSED: SysFlag = SysFlag(0x1);
    /// The message has several tags.
    pub const MULTI_TAGS: SysFlag = SysFlag(0x2);
    /// A half message.
    pub const TRANSACTION_PREPARED: SysFlag = SysFlag(0x4);
    /// The message of a committed transaction.
    pub const TRANSACTION_COMMIT: SysFlag = SysFlag(0x8);
    /// Both bits of [`TransactionType`]; alone: rolled back.
    pub const TRANSACTION_MASK: SysFlag = SysFlag(0xc);
    /// The born host of the record takes 16 address bytes.
    pub const BORN_HOST_V6: SysFlag = SysFlag(0x10);
    /// The store host of the record takes 16 address bytes.
    pub const STORE_HOST_V6: SysFlag = SysFlag(0x20);
    /// The body holds several messages that a consumer takes apart.
    pub const NEED_UNWRAP: SysFlag = SysFlag(0x40);
    /// The body is a batch that counts as one record.
    pub const INNER_BATCH: SysFlag = SysFlag(0x80);
    /// The bits of [`CompressionType`](super::CompressionType).
    pub const COMPRESSION_MASK: SysFlag = SysFlag(0x700);

    /// Whether all bits of `bits` are set.
    pub const fn has(self, bits: SysFlag) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// This flag with `bits` set.
    #[must_use]
    pub const fn with(self, bits: SysFlag) -> SysFlag {
        SysFlag(self.0 | bits.0)
    }

    /// This flag with `bits` cleared.
    #[must_use]
    pub const fn without(self, bits: SysFlag) -> SysFlag {
        SysFlag(self.0 & !bits.0)
    }

    /// Whether the body is compressed.
    pub const fn is_compressed(self) -> bool {
        self.has(SysFlag::COMPRESSED)
    }

    /// What the message is to a transaction.
    pub const fn transaction_type(self) -> TransactionType {
        match self.0 & SysFlag::TRANSACTION_MASK.0 {
            0x4 => TransactionType::Prepared,
            0x8 => TransactionType::Commit,
            0xc => TransactionType::Rollback,
            _ => TransactionType::None,
        }
    }

    /// This flag with another transaction type.
    #[must_use]
    pub const fn with_transaction_type(self, kind: TransactionType) -> SysFlag {
        let bits = match kind {
            TransactionType::None => 0,
            TransactionType::Prepared => 0x4,
            TransactionType::Commit => 0x8,
            TransactionType::Rollback => 0xc,
        };
        SysFlag(self.0 & !SysFlag::TRANSACTION_MASK.0 | bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transaction_type_is_two_bits_among_others() {
        let flag = SysFlag(0x301).with_transaction_type(TransactionType::Rollback);
        assert_eq!(flag, SysFlag(0x30d));
        assert_eq!(flag.transaction_type(), TransactionType::Rollback);
        assert_eq!(flag.with_transaction_type(TransactionType::Commit), SysFlag(0x309));
        assert_eq!(SysFlag(0x30d).without(SysFlag::TRANSACTION_MASK), SysFlag(0x301));
        assert!(flag.is_compressed() && !SysFlag(0x30c).is_compressed());
        assert!(!SysFlag(0x4).has(SysFlag::TRANSACTION_MASK), "all bits are needed");
    }
}
