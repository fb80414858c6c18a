//! config
mod problem;
mod read;
mod suggest;
mod value;
