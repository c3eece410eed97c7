//! One test a rule, and what is true of all of them.
