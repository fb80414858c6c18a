//! What is said of each outcome.
