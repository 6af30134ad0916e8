use std::os::fd::AsFd as _;

use super::*;

fn event(action: &str) -> Event {
    Event::image(action, "sha256:aa11", "busybox:latest")
}

fn actions(reader: &mut EventReader) -> Vec<String> {
    let events = reader.read().unwrap();
    events.into_iter().map(|event| event.action).collect()
}

#[test]
fn a_reader_sees_what_comes_and_what_came_if_it_asks() {
    let runtime = tempfile::tempdir().unwrap();
    append(runtime.path(), &event("pull"));
    let mut late = EventReader::open(runtime.path(), None).unwrap();
    let mut all = EventReader::open(runtime.path(), Some(0)).unwrap();
    append(runtime.path(), &event("tag"));
    assert!(late.wait(None, io::stdin().as_fd()).unwrap());
    assert_eq!(actions(&mut late), ["tag"]);
    assert_eq!(actions(&mut all), ["pull", "tag"]);
    assert!(actions(&mut all).is_empty());
    let mut nothing = EventReader::open(runtime.path(), Some(u64::MAX)).unwrap();
    assert!(actions(&mut nothing).is_empty());
}

#[test]
fn a_reader_waits_for_the_first_event_too() {
    let runtime = tempfile::tempdir().unwrap();
    let mut reader = EventReader::open(runtime.path(), None).unwrap();
    assert!(actions(&mut reader).is_empty());
    append(runtime.path(), &event("pull"));
    assert!(reader.wait(None, io::stdin().as_fd()).unwrap());
    assert_eq!(actions(&mut reader), ["pull"]);
}

#[test]
fn a_reader_whose_listener_has_gone_waits_no_longer() {
    let runtime = tempfile::tempdir().unwrap();
    let reader = EventReader::open(runtime.path(), None).unwrap();
    let (listener, pipe) = rustix::pipe::pipe().unwrap();
    drop(listener);
    assert!(!reader.wait(None, pipe.as_fd()).unwrap());
}

#[test]
fn nothing_is_lost_where_a_long_file_is_put_aside() {
    let runtime = tempfile::tempdir().unwrap();
    let mut reader = EventReader::open(runtime.path(), None).unwrap();
    let long = "x".repeat(3500);
    let mut seen = 0;
    let total = 500;
    for number in 0..total {
        append(runtime.path(), &event("pull").with("long", long.as_str()));
        if number % 50 == 0 {
            seen += reader.read().unwrap().len();
        }
    }
    seen += reader.read().unwrap().len();
    assert_eq!(seen, total);
    let names = std::fs::read_dir(runtime.path()).unwrap().count();
    assert_eq!(names, 2);
    let size = std::fs::metadata(runtime.path().join(FILE)).unwrap().len();
    assert!(size <= MAX_FILE);
}

#[test]
fn lines_of_many_writers_do_not_mix() {
    let runtime = tempfile::tempdir().unwrap();
    let mut reader = EventReader::open(runtime.path(), Some(0)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    append(
                        runtime.path(),
                        &event("pull").with("long", "y".repeat(2000)),
                    );
                }
            });
        }
    });
    assert_eq!(reader.read().unwrap().len(), 400);
}

#[test]
fn what_does_not_fit_into_a_line_is_left_out() {
    let long = event("pull").with("huge", "z".repeat(10_000));
    let line = long.line().unwrap();
    assert!(line.len() <= MAX_LINE);
    let read: Event = serde_json::from_slice(&line).unwrap();
    assert_eq!(read.actor.attributes.len(), 1);
    assert!(read.actor.attributes.contains_key("name"));
}

#[test]
fn filters_are_dockers() {
    let shown = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        let filter = EventFilter::parse(&texts).unwrap();
        filter.accepts(&event("exec_create: sh").with("colour", "red"))
    };
    assert!(shown(&[]));
    assert!(shown(&["type=image", "event=exec_create"]));
    assert!(shown(&["type=container", "type=image"]));
    assert!(shown(&["image=busybox"]) && shown(&["image=busybox:latest"]));
    assert!(shown(&["image=aa1"]) && !shown(&["image=alpine"]));
    assert!(shown(&["label=colour"]) && shown(&["label=colour=red"]));
    assert!(!shown(&["label=colour=red", "label=size"]));
    assert!(!shown(&["type=container"]) && !shown(&["event=exec"]));
    assert!(!shown(&["container=busybox"]) && !shown(&["volume=x"]));
    assert!(EventFilter::parse(&["nonsense=1".to_owned()]).is_err());
    assert!(EventFilter::parse(&["type".to_owned()]).is_err());
}
