//! The environment abstraction layer: DPDK itself.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{self, DpdkError};

/// DPDK can be started once in a process, also after it has ended.
static STARTED: AtomicBool = AtomicBool::new(false);

/// DPDK, started: its memory, its lcores, its drivers. It ends when this is dropped.
#[derive(Debug)]
pub struct Eal {
    lcores: Vec<u32>,
    /// It belongs to the thread that started it, which is its main lcore.
    _main: std::marker::PhantomData<*mut ()>,
}

impl Eal {
    /// Starts DPDK with these arguments, as in its documentation. The calling thread becomes the main lcore,
    /// and from now on runs on that lcore's CPU only.
    ///
    /// # Errors
    ///
    /// [`DpdkError::Eal`], after EAL has written why to standard error.
    pub fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, DpdkError> {
        let arguments: Vec<&str> = std::iter::once("lethe").chain(arguments).collect();
        let failed = |reason| DpdkError::Eal { arguments: arguments.get(1..).unwrap_or_default().join(" "), reason };
        if STARTED.swap(true, Ordering::Relaxed) {
            return Err(failed("it was started before in this process".to_owned()));
        }
        let strings: Result<Vec<CString>, _> = arguments.iter().map(|&text| CString::new(text)).collect();
        let strings = strings.map_err(|_| DpdkError::Argument)?;
        // EAL keeps pointers to them.
        let mut pointers: Vec<*mut c_char> = strings.into_iter().map(CString::into_raw).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| DpdkError::Argument)?;
        pointers.push(std::ptr::null_mut());
        // SAFETY: `count` strings that stay for good, in a list that stays for good and ends in a null pointer.
        if unsafe { dpdk_sys::rte_eal_init(count, pointers.leak().as_mut_ptr()) } < 0 {
            return Err(failed(error::last()));
        }
        Ok(Self { lcores: lcores(), _main: std::marker::PhantomData })
    }

    /// The lcores that EAL was given, the main one first.
    pub fn lcores(&self) -> &[u32] {
        &self.lcores
    }

    /// Has each of the workers do its work on an lcore of its own, the first of them on this thread, and returns
    /// when all have ended. A panic in any ends the process.
    ///
    /// # Panics
    ///
    /// When there are more workers than lcores.
    pub fn run<W: Send>(&self, workers: &mut [W], work: impl Fn(&mut W) + Sync) {
        assert!(workers.len() <= self.lcores.len(), "an lcore for each worker");
        let mut jobs: Vec<_> = workers.iter_mut().map(|worker| Job { worker, work: &work }).collect();
        let Some((own, others)) = jobs.split_first_mut() else { return };
        let waiting: Vec<Launched<'_>> =
            others.iter_mut().zip(self.lcores.iter().skip(1)).map(|(job, &lcore)| job.launch(lcore)).collect();
        (own.work)(own.worker);
        drop(waiting);
    }
}

impl Drop for Eal {
    fn drop(&mut self) {
        // SAFETY: ports borrow this value and are closed by now.
        unsafe { dpdk_sys::rte_eal_cleanup() };
    }
}

/// What one lcore has to do.
struct Job<'a, W, F> {
    worker: &'a mut W,
    work: &'a F,
}

impl<W: Send, F: Fn(&mut W) + Sync> Job<'_, W, F> {
    /// Has the lcore do it. The job is borrowed for as long as it is not waited for.
    fn launch(&mut self, lcore: u32) -> Launched<'_> {
        let job = std::ptr::from_mut(self).cast();
        // SAFETY: what is borrowed in a job may be sent and shared, by the bounds above, and stays until
        // `Launched` has waited; `start` is the function for a job of these types.
        let result = unsafe { dpdk_sys::rte_eal_remote_launch(Some(Self::start), job, lcore) };
        assert!(result == 0, "lcore {lcore} is busy, and nobody but us gives it work");
        Launched { lcore, _job: std::marker::PhantomData }
    }

    /// What the lcore calls. That a panic cannot leave it, but ends the process, is so with every `extern` function.
    unsafe extern "C" fn start(job: *mut c_void) -> c_int {
        // SAFETY: it is the pointer that `launch` made of a job, and nobody else uses it meanwhile.
        let job = unsafe { &mut *job.cast::<Self>() };
        (job.work)(job.worker);
        0
    }
}

/// An lcore at work. Dropping it waits for the end of that.
struct Launched<'a> {
    lcore: u32,
    _job: std::marker::PhantomData<&'a mut ()>,
}

impl Drop for Launched<'_> {
    fn drop(&mut self) {
        // SAFETY: it takes the number of any lcore.
        unsafe { dpdk_sys::rte_eal_wait_lcore(self.lcore) };
    }
}

fn lcores() -> Vec<u32> {
    // SAFETY: it reads what EAL has set up.
    let mut lcores = vec![unsafe { dpdk_sys::rte_get_main_lcore() }];
    // The arguments: begin before the first, leave out the main one, do not begin anew at the end.
    let next = |lcore| {
        // SAFETY: it takes any number and returns `RTE_MAX_LCORE` when there is none behind it.
        unsafe { dpdk_sys::rte_get_next_lcore(lcore, 1, 0) }
    };
    lcores.extend(
        std::iter::successors(Some(next(u32::MAX)), |&lcore| Some(next(lcore)))
            .take_while(|&lcore| lcore < dpdk_sys::RTE_MAX_LCORE),
    );
    lcores
}
