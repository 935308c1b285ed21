//! Name server and broker in one process: a real RocketMQ endpoint for laptops, CI, tests and the edge.
