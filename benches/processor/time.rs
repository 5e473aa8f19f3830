//! [`processor_time`].

use std::fs;
use std::time::Duration;

use crate::clients::Error;

/// That of this thread so far, that of the kernel for it included: proc_pid_schedstat(5), in nanoseconds.
pub(crate) fn processor_time() -> Result<Duration, Error> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let time = stat.split(' ').next().and_then(|time| time.parse().ok());
    time.map(Duration::from_nanos).ok_or_else(|| "no time in schedstat".into())
}
