//! TLS: what a server may do about it, and what becomes of the mail.

mod bed;
mod certificates;
mod dialogue;
mod implicit;
mod matrix;
mod names;
mod pki;
mod resumption;
mod settings;
