//! Who comes first to a file that is not there yet.

use tokio::task::JoinSet;

use super::*;

#[tokio::test]
async fn many_may_open_a_new_file_at_a_time() {
    for _ in 0..30 {
        let folder = Folder::new();
        let mut openers = JoinSet::new();
        for n in 0..16 {
            let path = folder.path();
            let part = if n == 0 { Part::Sender } else { Part::Beside };
            openers.spawn(async move { open(&path, part).await.map(drop) });
        }
        while let Some(opened) = openers.join_next().await {
            opened.unwrap().expect("a new file");
        }
    }
}
