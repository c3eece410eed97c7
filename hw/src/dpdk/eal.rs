//! The environment abstraction layer (EAL): DPDK itself.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{self, DpdkError};

/// DPDK can be started only once in a process, even after it has ended.
static STARTED: AtomicBool = AtomicBool::new(false);

/// DPDK, started: its memory, its lcores, its drivers. It ends when this is dropped.
#[derive(Debug)]
pub struct Eal {
    lcores: Vec<u32>,
    /// Not `Send`: EAL belongs to the thread that started it, the main lcore.
    _main: std::marker::PhantomData<*mut ()>,
}

impl Eal {
    /// Starts DPDK with these EAL arguments. The calling thread becomes the main lcore, and is bound to its CPU from
    /// now on.
    ///
    /// # Errors
    ///
    /// [`DpdkError::Eal`], after EAL has written the reason to standard error.
    pub fn start<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, DpdkError> {
        let arguments: Vec<&str> = std::iter::once("lethe").chain(arguments).collect();
        let failed = |reason| DpdkError::Eal { arguments: arguments.get(1..).unwrap_or_default().join(" "), reason };
        if STARTED.swap(true, Ordering::Relaxed) {
            return Err(failed("it was started before in this process".to_owned()));
        }
        let strings: Result<Vec<CString>, _> = arguments.iter().map(|&text| CString::new(text)).collect();
        let strings = strings.map_err(|_| DpdkError::Argument)?;
        // EAL keeps pointers to the arguments.
        let mut pointers: Vec<*mut c_char> = strings.into_iter().map(CString::into_raw).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| DpdkError::Argument)?;
        pointers.push(std::ptr::null_mut());
        // SAFETY: `count` leaked strings, in a leaked list that ends with a null pointer.
        if unsafe { dpdk_sys::rte_eal_init(count, pointers.leak().as_mut_ptr()) } < 0 {
            return Err(failed(error::last()));
        }
        Ok(Self { lcores: lcores(), _main: std::marker::PhantomData })
    }

    /// The lcores of EAL, the main one first.
    pub fn lcores(&self) -> &[u32] {
        &self.lcores
    }

    /// Runs each worker on an lcore of its own, the first on this thread, and returns when all have ended. A panic in
    /// any ends the process.
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
        // SAFETY: ports borrow this value, so they are closed.
        unsafe { dpdk_sys::rte_eal_cleanup() };
    }
}

/// The work of an lcore.
struct Job<'a, W, F> {
    worker: &'a mut W,
    work: &'a F,
}

impl<W: Send, F: Fn(&mut W) + Sync> Job<'_, W, F> {
    /// Starts the job on an lcore. It stays borrowed until it was waited for.
    fn launch(&mut self, lcore: u32) -> Launched<'_> {
        let job = std::ptr::from_mut(self).cast();
        // SAFETY: the borrows in a job are `Send` and `Sync` by the bounds above, and last until `Launched` has waited;
        // `start` is the function for a job of these types.
        let result = unsafe { dpdk_sys::rte_eal_remote_launch(Some(Self::start), job, lcore) };
        assert!(result == 0, "lcore {lcore} is busy, though only this function starts jobs");
        Launched { lcore, _job: std::marker::PhantomData }
    }

    /// The function that the lcore calls. A panic in it ends the process, as in every `extern` function.
    unsafe extern "C" fn start(job: *mut c_void) -> c_int {
        // SAFETY: it is the pointer to a job from `launch`, which has the only reference to it meanwhile.
        let job = unsafe { &mut *job.cast::<Self>() };
        (job.work)(job.worker);
        0
    }
}

/// A job that runs on an lcore. Dropping this waits for its end.
struct Launched<'a> {
    lcore: u32,
    _job: std::marker::PhantomData<&'a mut ()>,
}

impl Drop for Launched<'_> {
    fn drop(&mut self) {
        // SAFETY: the call accepts the number of any lcore.
        unsafe { dpdk_sys::rte_eal_wait_lcore(self.lcore) };
    }
}

fn lcores() -> Vec<u32> {
    // SAFETY: the call reads state of EAL, which is started.
    let mut lcores = vec![unsafe { dpdk_sys::rte_get_main_lcore() }];
    // The arguments: start before the first lcore, skip the main one, do not wrap around.
    let next = |lcore| {
        // SAFETY: the call accepts any number, and returns `RTE_MAX_LCORE` behind the last one.
        unsafe { dpdk_sys::rte_get_next_lcore(lcore, 1, 0) }
    };
    lcores.extend(
        std::iter::successors(Some(next(u32::MAX)), |&lcore| Some(next(lcore)))
            .take_while(|&lcore| lcore < dpdk_sys::RTE_MAX_LCORE),
    );
    lcores
}
