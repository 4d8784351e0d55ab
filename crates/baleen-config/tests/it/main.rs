//! Tests of the configuration as its users see it: what a file means, what its mistakes look like, what hostile input does.

mod control;
mod hostile;
mod includes;
mod meaning;
mod mistakes;
mod names;
mod policies;
mod reference;
mod rules;
