use super::*;
use serde_json::json;

fn render(template: &str, data: &Value) -> Result<String, TemplateError> {
    Template::parse(template)?.render(data)
}

fn assert_renders(template: &str, expected: &str) {
    assert_eq!(
        render(template, &image()).as_deref(),
        Ok(expected),
        "{template}"
    );
}

fn image() -> Value {
    json!({
        "Id": "sha256:12", "Size": 7, "Empty": [], "None": null, "Yes": true,
        "Config": { "Env": ["A=1", "B=2"], "Labels": { "b.c": "x", "a": "y" } },
        "Nothing": {
            "NetworkMode": "none", "Cmd": null, "Volumes": null, "PidsLimit": null,
            "Ports": { "80/tcp": null }, "ExposedPorts": { "80/tcp": {} },
        },
        "NoLabels": { "Hostname": "", "Labels": null },
        "Mounts": [{ "Name": "one", "Tags": ["p", "q"] }, { "Name": "two", "Tags": [] }],
    })
}

#[test]
fn templates_print_what_go_prints() {
    for (template, expected) in [
        ("plain", "plain"),
        ("", ""),
        ("{{.Id}} {{ .Size }}", "sha256:12 7"),
        ("{{.Config.Env}}", "[A=1 B=2]"),
        ("{{.Config.Labels}}", "map[a:y b.c:x]"),
        ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
        ("{{.Config.Labels | json}}", r#"{"a":"y","b.c":"x"}"#),
        (r#"{{index .Config.Labels "b.c"}}"#, "x"),
        (r#"{{index .Config.Labels "no"}}|"#, "|"),
        ("{{index .Config.Env 1}}", "B=2"),
        (r#"{{(index .Mounts 1).Name}}"#, "two"),
        (r#"{{join .Config.Env ", "}}"#, "A=1, B=2"),
        ("{{range .Config.Env}}<{{.}}>{{end}}", "<A=1><B=2>"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        (
            "{{range $i, $e := .Config.Env}}{{$i}}={{$e}};{{end}}",
            "0=A=1;1=B=2;",
        ),
        (
            "{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}} {{end}}",
            "a:y b.c:x ",
        ),
        (
            "{{range .Mounts}}{{.Name}}{{range .Tags}}/{{.}}{{end}} {{end}}",
            "one/p/q two ",
        ),
        ("{{range .Mounts}}{{$.Id}} {{end}}", "sha256:12 sha256:12 "),
        ("{{if .Yes}}yes{{else}}no{{end}}", "yes"),
        ("{{if .Empty}}a{{else if .Size}}b{{else}}c{{end}}", "b"),
        ("{{if and .Yes (gt .Size 5) (not .None)}}ok{{end}}", "ok"),
        (r#"{{if eq .Id "x" "sha256:12"}}one of{{end}}"#, "one of"),
        ("{{with .Config}}{{.Env}}{{end}}", "[A=1 B=2]"),
        ("{{with .None}}x{{else}}{{.Id}}{{end}}", "sha256:12"),
        (
            "{{$x := .Config}}{{$x.Env}} {{len $x.Labels}}",
            "[A=1 B=2] 2",
        ),
        (
            "{{with $x := .Config}}{{$x.Env}}{{.Env}}{{end}}",
            "[A=1 B=2][A=1 B=2]",
        ),
        ("{{$x := 1}}{{if .Yes}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("a {{- /* a comment }} */ -}} b", "ab"),
        ("a  {{- .Size -}}  b", "a7b"),
        (r#"{{slice .Id 7}} {{slice .Id 0 3}}"#, "12 sha"),
        (r#"{{"}}"}}{{`a"b`}}{{"\t\u00e9"}}"#, "}}a\"b\té"),
        (
            r#"{{printf "%s-%d %q%%" .Id .Size "x"}}"#,
            "sha256:12-7 \"x\"%",
        ),
        (
            r#"{{upper "abc"}}{{lower "ABC"}}{{title "abc d"}}"#,
            "ABCabcAbc D",
        ),
        (r#"{{range split "a,b" ","}}{{println .}}{{end}}"#, "a\nb\n"),
        (r#"{{truncate .Id 3}}|{{pad "x" 1 2}}|"#, "sha| x  |"),
        ("{{or .None .Id}}", "sha256:12"),
        (r#"{{printf "%-5s|" (truncate .Id 3)}}"#, "sha  |"),
    ] {
        assert_renders(template, expected);
    }
}

#[test]
fn templates_print_what_is_null_or_missing_by_its_type() {
    for (template, expected) in [
        ("{{.None}}", "<no value>"),
        ("{{.Nothing.Cmd}} {{json .Nothing.Cmd}}", "[] null"),
        (
            "{{with .Nothing}}{{.Volumes}} {{.PidsLimit}}{{end}}",
            "map[] <nil>",
        ),
        (
            "{{.Nothing.Ports}} {{len .Nothing.Cmd}}",
            "map[80/tcp:[]] 0",
        ),
        (
            r#"{{printf "%s %v" .Nothing.Cmd .Nothing.Volumes}}"#,
            "[] map[]",
        ),
        (
            r#"{{.Nothing.Cmd | print}} {{.Nothing.Cmd | json}}"#,
            "[] null",
        ),
        ("{{if .Nothing.Ports.foo}}y{{else}}n{{end}}", "n"),
        ("{{(.Nothing).ExposedPorts}}", "map[80/tcp:{}]"),
        (r#"{{.Config.Labels "b.c"}}{{.Config.Labels "no"}}"#, "x"),
        ("{{.ID}} {{.config.env}}", "sha256:12 [A=1 B=2]"),
        ("{{.Config.Labels.no}} {{.Config.Labels.a}}", "<no value> y"),
        (
            "{{with .Config.Labels}}{{.a}}{{.no}}{{.A}}{{end}}",
            "y<no value><no value>",
        ),
        ("{{$l := .Config.Labels}}{{$l.no}}", "<no value>"),
        ("{{with .Config}}{{if .Labels.no}}x{{end}}{{end}}", ""),
        ("{{.NoLabels.Labels.a}}", "<no value>"),
        ("{{with $x := .None}}a{{else}}{{$x}}b{{end}}", "<no value>b"),
        ("{{with .Nothing}}{{.Tmpfs}} {{.Mounts}}{{end}}", "map[] []"),
        (
            "{{with .NoLabels}}{{.Healthcheck}} {{.StopTimeout}}{{end}}",
            "<nil> <nil>",
        ),
    ] {
        assert_renders(template, expected);
    }
}

#[test]
fn templates_that_make_no_sense_are_refused() {
    use TemplateError as E;
    for (template, expected) in [
        ("{{.Id", E::Unclosed),
        (r#"{{"abc}}"#, E::OpenQuote),
        ("{{.Nope}}", E::NoField("Nope".into())),
        ("{{.Config.Nope.X}}", E::NoField("Config.Nope.X".into())),
        ("{{.Id.X}}", E::NoField("Id.X".into())),
        ("{{.Healthcheck}}", E::NoField("Healthcheck".into())),
        ("{{.Config.Lables.a}}", E::NoField("Config.Lables.a".into())),
        (
            "{{.NoLabels.Healthcheck.Test}}",
            E::NoField("NoLabels.Healthcheck.Test".into()),
        ),
        ("{{$x = 1}}", E::UnknownVariable("$x".into())),
        ("{{nope .Id}}", E::UnknownFunction("nope".into())),
        ("{{$nope}}", E::UnknownVariable("$nope".into())),
        ("{{index .Config.Env 9}}", E::BadArguments("index".into())),
        ("{{join .Id}}", E::BadArguments("join".into())),
        ("{{range .Size}}{{end}}", E::NoRange),
        ("{{if .Yes}}", E::Unfinished("if")),
        ("{{end}}", E::Unexpected("end".into())),
        ("{{}}", E::Unfinished("{{")),
        ("{{(.Id}}", E::Unfinished("(")),
        ("{{.Id)}}", E::Unexpected(")".into())),
        ("{{ # }}", E::Unexpected("#".into())),
    ] {
        assert_eq!(render(template, &image()), Err(expected), "{template}");
    }
    assert_eq!(
        render(&"{{if .Yes}}".repeat(1000), &image()),
        Err(E::TooDeep)
    );
    let groups = format!("{{{{{}", "(".repeat(1000));
    assert!(Template::parse(&format!("{groups}}}}}")).is_err());
}

#[test]
fn no_template_ends_the_program() {
    let pieces = [
        "{{", "}}", ".", "$", "\"", "`", "(", ")", "|", "-", "/*", "é", "if", " ", "1",
    ];
    let mut seed = 1_u32;
    for _ in 0..20_000 {
        let mut template = String::new();
        for _ in 0..8 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            template.push_str(pieces[(seed >> 16) as usize % pieces.len()]);
        }
        // Whether it is one does not matter here.
        let _ = render(&template, &image());
    }
}

#[test]
fn a_template_knows_its_columns() {
    let template = Template::parse("{{.ID}}\t{{.Repository}}:{{.Tag | upper}}").unwrap();
    assert_eq!(template.fields(), ["ID", "Repository", "Tag"]);
}

#[test]
fn a_field_is_found_wherever_it_is_named() {
    for (template, expected) in [
        ("{{.Size}}", true),
        (
            "{{if .Yes}}{{range .All}}{{printf \"%s\" .Size}}{{end}}{{end}}",
            true,
        ),
        ("{{with (index .All 0).Size}}x{{end}}", true),
        ("{{.size}}", true),
        ("Size {{.ID}}", false),
    ] {
        let parsed = Template::parse(template).unwrap();
        assert_eq!(parsed.names("Size"), expected, "{template}");
    }
}
