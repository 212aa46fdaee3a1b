//! Scenarios that mostly wait, run at the same time.

/// Runs a scenario to its end on a runtime of its own.
pub fn alone(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(scenario);
}

/// Runs scenarios side by side, each on a thread of its own: one that holds up its thread, as the end of a namespace does,
/// keeps no other from answering its broker. Panics once all are over, if one has.
macro_rules! side_by_side {
    ($($scenario:expr),+ $(,)?) => {
        std::thread::scope(|threads| {
            $(threads.spawn(|| $crate::side_by_side::alone($scenario));)+
        })
    };
}
pub(crate) use side_by_side;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::sleep;

    #[test]
    fn what_runs_side_by_side_holds_up_nobody_else() {
        let (free, blocked) = std::sync::mpsc::channel();
        side_by_side!(async move { blocked.recv().expect("the other one is at work") }, async move {
            sleep(Duration::from_millis(1)).await;
            free.send(()).expect("it waits");
        });
    }

    #[test]
    #[should_panic(expected = "panicked")]
    fn one_that_fails_fails_all() {
        side_by_side!(async {}, async { panic!("on purpose") });
    }
}
