use std::path::Path;

use super::*;

fn volume(text: &str) -> Result<MountPoint, String> {
    let read = MountPoint::from_volume_option(text, Path::new("/work"));
    read.map_err(|error| error.to_string())
}

fn mount(text: &str) -> Result<MountPoint, String> {
    let read = MountPoint::from_mount_option(text, Path::new("/work"));
    read.map_err(|error| error.to_string())
}

fn source(mount: &MountPoint) -> String {
    match &mount.source {
        MountSource::Bind { path, .. } => path.display().to_string(),
        MountSource::Volume { name, .. } => name.as_ref().map_or("?".into(), ToString::to_string),
        MountSource::Tmpfs { options, .. } => format!("tmpfs {}", options.join(",")),
        MountSource::Image { reference, .. } => format!("image {reference}"),
    }
}

#[test]
fn a_source_is_a_path_or_a_volume_as_in_docker() {
    for (text, expected, target) in [
        ("/data", "?", "/data"),
        ("data:/x/../y/", "data", "/y"),
        ("/host:/x", "/host", "/x"),
        ("./here:/x", "/work/here", "/x"),
        (".:/x", "/work", "/x"),
        ("..:/x", "/", "/x"),
        ("/a/./b/../c:/x:ro", "/a/c", "/x"),
    ] {
        let read = volume(text).unwrap();
        assert_eq!(
            (source(&read).as_str(), read.target.as_str()),
            (expected, target),
            "{text}"
        );
    }
}

#[test]
fn words_behind_the_second_colon_say_how() {
    let read = volume("/h:/x:ro,bind,nocreate,noexec,rslave,U,z").unwrap();
    assert_eq!(read.read_only, ReadOnly::All);
    assert_eq!(read.flags, ["noexec"]);
    assert_eq!(read.propagation.as_deref(), Some("rslave"));
    assert!(read.chown);
    let MountSource::Bind {
        make, recursive, ..
    } = read.source
    else {
        panic!("{read:?}");
    };
    assert!(!make && !recursive);
    let MountSource::Volume { copy, .. } = volume("v1:/x:nocopy").unwrap().source else {
        panic!("no volume");
    };
    assert!(!copy);
    for promise in ["cached", "delegated", "consistent"] {
        let read = volume(&format!("/h:/x:ro,{promise}")).unwrap();
        assert_eq!(read.read_only, ReadOnly::All, "{promise}");
    }
}

#[test]
fn what_is_no_volume_is_refused_with_the_reason() {
    for (text, expected) in [
        ("", "invalid volume specification"),
        (":/x", "invalid volume specification"),
        ("a:b:c:d", "invalid volume specification"),
        ("/a:/b:", "invalid volume specification"),
        ("/h:x", "mount path must be absolute"),
        ("v:/x", "too short"),
        ("a/b:/x", "includes invalid characters"),
        ("/h:/x:frob", "invalid mode: frob"),
        ("/h:/x:nocopy", "invalid mode: nocopy"),
        ("vv:/x:rslave", "invalid mode: rslave"),
        ("/h:/", "destination can't be '/'"),
        ("/h:/proc", "inside /proc"),
        ("/h:/x/../proc/sys", "inside /proc"),
        ("/h:/x:idmap", "only root"),
        ("/h:/x:ro,O", "at once"),
        ("/h:/x:U,O", "not the container's"),
    ] {
        let refused = volume(text).unwrap_err();
        assert!(refused.contains(expected), "{text}: {refused}");
    }
    // Who provides those files is welcome.
    assert!(volume("/h:/proc/meminfo").is_ok());
}

#[test]
fn fields_of_mount_are_those_of_docker_and_podman() {
    for (text, expected, target) in [
        ("type=bind,source=/h,target=/x", "/h", "/x"),
        ("type=bind,src=./h,dst=/x,readonly", "/work/h", "/x"),
        ("type=bind,\"src=/a,b\",destination=/x", "/a,b", "/x"),
        ("source=data,target=/x", "data", "/x"),
        ("type=volume,target=/x", "?", "/x"),
        (
            "type=tmpfs,target=/x,tmpfs-size=64m,tmpfs-mode=0700",
            "tmpfs size=67108864,mode=700",
            "/x",
        ),
        (
            "type=tmpfs,target=/x,tmpfs-size=64MB",
            "tmpfs size=67108864",
            "/x",
        ),
        (
            "type=tmpfs,target=/x,tmpfs-size=1.5g",
            "tmpfs size=1610612736",
            "/x",
        ),
        (
            "type=image,source=busybox,target=/x,image-subpath=etc",
            "image busybox",
            "/x",
        ),
    ] {
        let read = mount(text).unwrap();
        assert_eq!(
            (source(&read).as_str(), read.target.as_str()),
            (expected, target),
            "{text}"
        );
    }
    let read = mount("type=bind,src=/h,dst=/x,ro,bind-recursive=writable").unwrap();
    assert_eq!(read.read_only, ReadOnly::Top);
    let read = mount("type=volume,src=data,dst=/x,volume-subpath=a/b").unwrap();
    assert_eq!(read.subpath.as_deref(), Some("a/b"));
}

#[test]
fn what_is_no_mount_is_refused_with_the_reason() {
    for (text, expected) in [
        ("type=bind,source=/h", "target is required"),
        ("type=bind,target=/x", "source is required"),
        ("type=bind,source=h,target=/x", "must be an absolute path"),
        (
            "type=bind,source=/h,target=/x,frob=1",
            "unexpected key 'frob'",
        ),
        (
            "type=bind,source=/h,target=/x,volume-nocopy",
            "cannot mix 'volume-nocopy'",
        ),
        ("type=tmpfs,source=/h,target=/x", "cannot use 'source'"),
        ("type=tmpfs,target=/x,tmpfs-mode=9", "tmpfs-mode"),
        ("type=frob,target=/x", "invalid mount type"),
        ("type=ramfs,target=/x", "only root"),
        (
            "type=volume,source=vv,target=/x,volume-subpath=../x",
            "relative path",
        ),
        (
            "type=volume,source=vv,target=/x,volume-driver=nfs",
            "not available",
        ),
        (
            "type=bind,source=/h,target=/x,readonly=maybe",
            "invalid value",
        ),
        (
            "type=bind,source=/h,target=/x,bind-recursive=readonly",
            "requires 'readonly'",
        ),
        (
            "type=bind,source=/h,target=/x,bind-propagation=x",
            "bind-propagation",
        ),
        ("type=bind,\"source=/h,target=/x", "not closed"),
    ] {
        let refused = mount(text).unwrap_err();
        assert!(refused.contains(expected), "{text}: {refused}");
    }
}

#[test]
fn options_of_a_tmpfs_are_what_the_kernel_takes() {
    let tmpfs = |text: &str| MountPoint::from_tmpfs_option(text);
    let read = tmpfs("/x:size=64MB,mode=0700,uid=7,nr_inodes=1k").unwrap();
    assert_eq!(
        source(&read),
        "tmpfs size=67108864,mode=0700,uid=7,nr_inodes=1024"
    );
    assert_eq!(source(&tmpfs("/x:size=50%").unwrap()), "tmpfs size=50%");
    for text in [
        "size=",
        "size=x",
        "size=9%%x",
        "mode=9",
        "mode=77777",
        "uid=me",
        "gid=-1",
        "frob=1",
    ] {
        let refused = tmpfs(&format!("/x:{text}")).unwrap_err().to_string();
        assert!(
            refused.contains("invalid tmpfs option"),
            "{text}: {refused}"
        );
    }
}
