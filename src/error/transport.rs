//! What the adapters add: the transport's own failures.
