use super::*;

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("rwsgi-generator-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("ini")).unwrap();
        Self(path)
    }

    fn ini(self, name: &str, text: &str) -> Self {
        fs::write(self.0.join("ini").join(name), text).unwrap();
        self
    }

    fn output(&self) -> Output {
        Output { directory: self.0.join("out"), enabled: self.0.join("enabled") }
    }

    /// What has gone wrong, and what has been written.
    fn generate(&self) -> (Vec<String>, Vec<String>) {
        let output = self.output();
        let troubles = instances(&self.0.join("ini"), &output);
        (troubles, self.written())
    }

    fn written(&self) -> Vec<String> {
        let out = self.0.join("out");
        let directories = fs::read_dir(&out).into_iter().flatten().flatten();
        let mut all: Vec<String> = directories
            .flat_map(|directory| fs::read_dir(directory.path()).unwrap().flatten())
            .map(|entry| entry.path().strip_prefix(&out).unwrap().display().to_string())
            .collect();
        all.sort();
        all
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_instance_that_starts_by_itself_is_wanted_by_the_system_and_the_umbrella() {
    let scratch =
        Scratch::new("autostart").ini("shop.ini", "[rwsgi]\nhttp = :8000\nautostart = true\n");
    let links = ["multi-user.target.wants", "rwsgi.service.wants"];
    let mut expected: Vec<_> = links.map(|link| format!("{link}/rwsgi@shop.service")).to_vec();
    expected.push("rwsgi@shop.service.d/50-ini.conf".to_owned());
    assert_eq!(scratch.generate(), (Vec::new(), expected));
    let text = fs::read_to_string(scratch.0.join("out/rwsgi@shop.service.d/50-ini.conf"));
    assert!(text.unwrap().ends_with("\n[Service]\nProtectHome=yes\n"));
    let link = fs::read_link(scratch.0.join("out/rwsgi.service.wants/rwsgi@shop.service"));
    assert_eq!(link.unwrap(), Path::new(TEMPLATE));
}

#[test]
fn an_instance_that_the_administrator_has_enabled_starts_with_the_others() {
    let scratch = Scratch::new("enabled").ini("shop.ini", "[rwsgi]\nhttp = :8000\n");
    let enabled = scratch.0.join("enabled").join(WITH_THE_SYSTEM);
    fs::create_dir_all(&enabled).unwrap();
    symlink(TEMPLATE, enabled.join("rwsgi@shop.service")).unwrap();
    let (troubles, written) = scratch.generate();
    assert_eq!(troubles, Vec::<String>::new());
    assert_eq!(written[0], "rwsgi.service.wants/rwsgi@shop.service");
}

#[test]
fn a_wrong_file_harms_no_other_and_still_fails_where_it_is_seen() {
    let scratch = Scratch::new("wrong")
        .ini("bad.ini", "[rwsgi]\nautostart = true\nmemory-max = 1 banana\n")
        .ini("good.ini", "[rwsgi]\nhttp = :80\n")
        .ini("b@d.ini", "[rwsgi]\n")
        .ini("notes.txt", "[rwsgi]\nautostart = true\n");
    let (troubles, written) = scratch.generate();
    assert_eq!(troubles.len(), 2, "{troubles:?}");
    assert!(troubles[0].contains("b@d.ini: its name"), "{troubles:?}");
    assert!(troubles[1].contains("banana"), "{troubles:?}");
    let expected = [
        "multi-user.target.wants/rwsgi@bad.service",
        "rwsgi.service.wants/rwsgi@bad.service",
        "rwsgi@good.service.d/50-ini.conf",
        "rwsgi@good.socket.d/50-ini.conf",
    ];
    assert_eq!(written, expected);
}

#[test]
fn text_of_another_file_cannot_become_lines_of_a_unit() {
    let scratch = Scratch::new("lines");
    let other = scratch.0.join("other");
    fs::write(&other, "/run/x\n[Service]\nUser=root").unwrap();
    let lines = format!("[rwsgi]\nsocket = @({})\nautostart = true\n", other.display());
    let scratch =
        scratch.ini("shop.ini", &lines.replace("socket =", "socket-activation = true\nsocket ="));
    let (troubles, written) = scratch.generate();
    assert!(troubles[0].contains("no unit can name") && troubles.len() == 1, "{troubles:?}");
    assert!(written.iter().all(|name| name.ends_with(".wants/rwsgi@shop.service")), "{written:?}");
}

#[test]
fn nothing_that_a_reader_would_wait_for_is_read() {
    let scratch = Scratch::new("fifo").ini("a.ini", "[rwsgi]\nhttp = @(/dev/zero)\n");
    nix::unistd::mkfifo(&scratch.0.join("ini/b.ini"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    symlink("/dev/zero", scratch.0.join("ini/c.ini")).unwrap();
    let (troubles, _) = scratch.generate();
    assert_eq!(troubles.len(), 3, "{troubles:?}");
    assert!(troubles.iter().all(|it| it.contains("not a regular file")), "{troubles:?}");
}

#[test]
fn an_application_is_never_run_as_root() {
    let scratch = Scratch::new("root")
        .ini("shop.ini", "[rwsgi]\nhttp = :8000\nuid = root\ngid = root\nmemory-max = 1g\n");
    let (troubles, _) = scratch.generate();
    assert!(troubles[0].contains("not run as root"), "{troubles:?}");
    let text = fs::read_to_string(scratch.0.join("out/rwsgi@shop.service.d/50-ini.conf")).unwrap();
    assert!(text.contains("MemoryMax=") && !text.contains("User="), "{text}");
}

#[test]
fn a_user_without_a_group_has_its_own() {
    let scratch = Scratch::new("user").ini("shop.ini", "[rwsgi]\nhttp = :8000\nuid = nobody\n");
    scratch.generate();
    let text = fs::read_to_string(scratch.0.join("out/rwsgi@shop.service.d/50-ini.conf")).unwrap();
    assert!(text.contains("\nUser=nobody\nGroup=no"), "{text}");
}

#[test]
fn only_what_the_running_release_knows_is_linked() {
    let scratch = Scratch::new("floors");
    let from = scratch.0.join("floors");
    fs::create_dir_all(&from).unwrap();
    for name in ["240.conf", "247.conf", "253.conf", "README"] {
        fs::write(from.join(name), "").unwrap();
    }
    let output = scratch.output();
    assert_eq!(floors(&from, Some(247), &output), Vec::<String>::new());
    let linked = ["240", "247"].map(|n| format!("rwsgi@.service.d/50-systemd-{n}.conf"));
    assert_eq!(scratch.written(), linked);
    assert_eq!(floors(&from, None, &output).len(), 1);
}

#[test]
fn the_release_is_the_first_number() {
    let cases = [
        ("systemd 237\n+PAM", Some(237)),
        ("systemd 257 (257.13-1~deb13u1)\n", Some(257)),
        ("systemd 262~rc2 (262~rc2)\n", Some(262)),
        ("systemctl 1", None),
        ("", None),
    ];
    for (said, expected) in cases {
        assert_eq!(release(said), expected, "{said}");
    }
}

#[test]
fn a_file_that_was_changed_since_is_told_from_one_that_was_read() {
    let scratch = Scratch::new("outdated").ini("shop.ini", "[rwsgi]\nhttp = :80\n");
    scratch.generate();
    let plan = || plan("shop", &scratch.0.join("ini/shop.ini"));
    let outdated = || plan().outdated_in(&scratch.0.join("out"), "shop");
    assert_eq!(outdated(), Vec::<String>::new());
    fs::write(scratch.0.join("ini/shop.ini"), "[rwsgi]\nhttp = :80\nmemory-max = 1g\n").unwrap();
    assert_eq!(outdated(), ["rwsgi@shop.service"]);
    fs::write(scratch.0.join("ini/shop.ini"), "[rwsgi]\nhttp = :8000\nmemory-max = 1g\n").unwrap();
    assert_eq!(outdated(), ["rwsgi@shop.service", "rwsgi@shop.socket"]);
}

#[test]
fn no_command_is_run_at_boot_and_only_a_unit_that_depends_on_one_is_left_as_it_is() {
    let scratch = Scratch::new("commands");
    let trace = scratch.0.join("trace").display().to_string();
    let text = format!(
        "[rwsgi]\nhttp = :80\nenv = SECRET=@(exec://touch {trace}; echo 1)\n\
         n = @(exec://touch {trace}; nproc)\nprocesses = %(n * 2)\nthreads = %(n)\n"
    );
    let scratch = scratch
        .ini("good.ini", &text)
        .ini("port.ini", &format!("[rwsgi]\nhttp = :@(exec://touch {trace}; echo 81)\n"))
        .ini("file.ini", &format!("[rwsgi]\nini = exec://touch {trace}\n"))
        .ini("lines.ini", &format!("[rwsgi]\nfor-readline = exec://touch {trace}\nendfor =\n"));
    let (troubles, written) = scratch.generate();
    assert!(!Path::new(&trace).exists());
    let units = ["service.d", "socket.d"].map(|kind| format!("rwsgi@good.{kind}/50-ini.conf"));
    assert_eq!(written, units, "{troubles:?}");
    assert_eq!(troubles.len(), 3, "{troubles:?}");
    let about = |name: &str| troubles.iter().find(|trouble| trouble.contains(name)).unwrap();
    assert!(about("port.ini").contains("the unit depends on `http`, and no command is run for it"));
    assert!(about("file.ini").contains("commands are not run"));
    assert!(about("lines.ini").contains("commands are not run"));
}
