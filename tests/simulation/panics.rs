//! Notices panics of all tasks: a runtime keeps those of tasks that nobody awaits to itself.

use std::cell::Cell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// Whether code panicked on this thread since it was asked last.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Notices panics from now on.
pub(crate) fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICKED.set(true);
            before(info);
        }));
    });
}

/// Returns `true` if code panicked on this thread since this was called last.
pub(crate) fn any() -> bool {
    PANICKED.replace(false)
}
