//! Durable message log: checksummed segments, queues, small tables. Knows stored records and files.
