//! Archives that are nearly right: made of members of all formats, then changed in places that readers
//! look at.

use super::super::record;

/// Numbers that are the same in every run, xorshift.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            random.next();
        }
        random
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 8
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next()).unwrap() % limit.max(1)
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

type Block = [u8; 512];

const TYPES: &[u8] = b"\x000123456700000555xgLKSVDZ";
const NAMES: &[&[u8]] = &[
    b"f",
    b"d/f",
    b"d/",
    b"./f",
    b"/abs",
    b"a b",
    b"\xc3\xa9",
    b"x/../y",
    b"line\nbreak",
    b".",
    b"q\"\\",
    b"dd/ee/ff",
    b".wh.f",
    b" lead",
    b"trail ",
    b"tab\t",
];

/// The archive with this number.
pub(super) fn archive(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut blocks = Vec::new();
    for _ in 0..=random.below(4) {
        member(&mut random, &mut blocks);
    }
    // Some stay as they are: every reader should take them.
    for _ in 0..random.below(3) {
        mutate(&mut random, &mut blocks);
    }
    let mut bytes = blocks.concat();
    match random.below(16) {
        0 => {}
        1 => bytes.resize(bytes.len() + 512, 0),
        2 => {
            bytes.resize(bytes.len() + 1024, 0);
            let mut more = Vec::new();
            member(&mut random, &mut more);
            bytes.extend_from_slice(&more.concat());
            bytes.resize(bytes.len() + 1024, 0);
        }
        _ => bytes.resize(bytes.len().next_multiple_of(10240) + 10240, 0),
    }
    if random.one_in(16) {
        let length = random.below(bytes.len());
        let length = if random.one_in(2) {
            length / 512 * 512
        } else {
            length
        };
        bytes.truncate(length);
    }
    bytes
}

fn header(random: &mut Random, kind: u8, name: &[u8], link: &[u8], size: usize) -> Block {
    let mut block = [0; 512];
    put(&mut block, 0, &name[..name.len().min(100)]);
    put(&mut block, 100, b"0000644\0");
    put(&mut block, 108, b"0001750\0");
    put(&mut block, 116, b"0001750\0");
    put(&mut block, 124, format!("{size:011o}\0").as_bytes());
    put(&mut block, 136, b"07346545000\0");
    block[156] = kind;
    put(&mut block, 157, &link[..link.len().min(100)]);
    match random.below(3) {
        0 => put(&mut block, 257, b"ustar  \0"),
        1 | 2 => put(&mut block, 257, b"ustar\x0000"),
        _ => {}
    }
    put(&mut block, 265, b"user");
    put(&mut block, 297, b"group");
    if &block[257..263] == b"ustar\0" && random.one_in(4) {
        put(&mut block, 345, b"front/part");
    }
    seal(&mut block);
    block
}

fn put(block: &mut Block, place: usize, bytes: &[u8]) {
    block[place..place + bytes.len()].copy_from_slice(bytes);
}

fn posix(mut block: Block) -> Block {
    put(&mut block, 257, b"ustar\x0000");
    seal(&mut block);
    block
}

/// Makes the checksum right.
fn seal(block: &mut Block) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    put(block, 148, format!("{sum:06o}\0 ").as_bytes());
}

fn content(blocks: &mut Vec<Block>, bytes: &[u8]) {
    for chunk in bytes.chunks(512) {
        let mut block = [0; 512];
        block[..chunk.len()].copy_from_slice(chunk);
        blocks.push(block);
    }
}

fn member(random: &mut Random, blocks: &mut Vec<Block>) {
    let name = random.of(NAMES);
    let long = [name.trim_ascii_end(), b"/long".repeat(30).as_slice()].concat();
    match random.below(8) {
        0 => extension(random, blocks, b'x', &[&b"path="[..], &long].concat()),
        1 => {
            let text = [long.as_slice(), b"\0"].concat();
            let block = header(random, b'L', b"././@LongLink", b"", text.len());
            blocks.push(block);
            content(blocks, &text);
        }
        2 => extension(random, blocks, b'x', b"mtime=1000000000.5"),
        _ => {}
    }
    let bytes: Vec<u8> = (0..random.of(&[0, 1, 5, 511, 512, 513, 1500]))
        .map(|n: u32| b'a' + u8::try_from(n % 26).unwrap())
        .collect();
    let target = random.of(NAMES);
    let special = random.of(b"346");
    match random.below(8) {
        0 => blocks.push(header(random, b'5', name, b"", 0)),
        1 => blocks.push(header(random, b'2', name, target, 0)),
        2 => blocks.push(header(random, b'1', name, target, 0)),
        3 => sparse(random, blocks, name),
        4 => blocks.push(header(random, special, name, b"", 0)),
        _ => {
            let kind = random.of(b"0000\x007");
            blocks.push(header(random, kind, name, b"", bytes.len()));
            content(blocks, &bytes);
        }
    }
}

fn extension(random: &mut Random, blocks: &mut Vec<Block>, kind: u8, text: &[u8]) {
    let bytes = record(text);
    blocks.push(header(random, kind, b"PaxHeaders/f", b"", bytes.len()));
    content(blocks, &bytes);
}

/// A file with holes in one of four formats.
fn sparse(random: &mut Random, blocks: &mut Vec<Block>, name: &[u8]) {
    let parts = [(0, 3), (1000 + random.below(1000), 5)];
    let size = 3000;
    let stored = b"abcdefgh";
    let records = |fields: &[String]| -> Vec<u8> {
        fields
            .iter()
            .flat_map(|field| record(field.as_bytes()))
            .collect()
    };
    let [(a, b), (c, d)] = parts;
    let fields = match random.below(4) {
        0 => {
            let mut block = header(random, b'S', name, b"", stored.len());
            put(&mut block, 257, b"ustar  \0");
            block[345..].fill(0);
            for (at, (place, length)) in parts.iter().enumerate() {
                put(
                    &mut block,
                    386 + 24 * at,
                    format!("{place:011o}\0{length:011o}\0").as_bytes(),
                );
            }
            put(&mut block, 483, format!("{size:011o}\0").as_bytes());
            seal(&mut block);
            blocks.push(block);
            return content(blocks, stored);
        }
        1 => records(&[
            format!("GNU.sparse.size={size}"),
            "GNU.sparse.numblocks=2".to_owned(),
            format!("GNU.sparse.offset={a}"),
            format!("GNU.sparse.numbytes={b}"),
            format!("GNU.sparse.offset={c}"),
            format!("GNU.sparse.numbytes={d}"),
        ]),
        2 => records(&[
            format!("GNU.sparse.size={size}"),
            "GNU.sparse.numblocks=2".to_owned(),
            "GNU.sparse.name=sparse/name".to_owned(),
            format!("GNU.sparse.map={a},{b},{c},{d}"),
        ]),
        _ => {
            let fields = records(&[
                "GNU.sparse.major=1".to_owned(),
                "GNU.sparse.minor=0".to_owned(),
                "GNU.sparse.name=sparse/name".to_owned(),
                format!("GNU.sparse.realsize={size}"),
            ]);
            blocks.push(header(random, b'x', b"PaxHeaders/f", b"", fields.len()));
            content(blocks, &fields);
            let mut map = format!("2\n{a}\n{b}\n{c}\n{d}\n").into_bytes();
            map.resize(512, 0);
            map.extend_from_slice(stored);
            blocks.push(posix(header(
                random,
                b'0',
                b"GNUSparseFile.0/f",
                b"",
                map.len(),
            )));
            return content(blocks, &map);
        }
    };
    blocks.push(header(random, b'x', b"PaxHeaders/f", b"", fields.len()));
    content(blocks, &fields);
    blocks.push(posix(header(random, b'0', name, b"", stored.len())));
    content(blocks, stored);
}

/// One change. Most keep the checksum right: a reader does not look further where it is wrong.
fn mutate(random: &mut Random, blocks: &mut Vec<Block>) {
    let is_header = |at: &usize| blocks[*at][257..262] == *b"ustar";
    let headers: Vec<usize> = (0..blocks.len()).filter(is_header).collect();
    let Some(at) = headers.get(random.below(headers.len())).copied() else {
        return;
    };
    let length = blocks.len();
    match random.below(16) {
        0 | 1 => insert_records(random, blocks, at, b'x'),
        2 => insert_records(random, blocks, at, b'g'),
        3 => return insert_name(random, blocks, at),
        4 => return blocks.insert(random.below(length), [0; 512]),
        5 => {
            let copy = blocks[random.below(length)];
            return blocks.insert(random.below(length), copy);
        }
        6 => {
            blocks.remove(random.below(length));
            return;
        }
        7 => blocks.swap(at, random.below(length)),
        _ => change_header(random, &mut blocks[at]),
    }
    if at < blocks.len() && !random.one_in(12) {
        seal(&mut blocks[at]);
    }
}

fn insert_name(random: &mut Random, blocks: &mut Vec<Block>, at: usize) {
    let kind = random.of(b"LK");
    let texts: [&[u8]; 6] = [
        b"longname\0",
        b"longname",
        b"long\0name\0",
        b"\0",
        b"",
        b"l\0\0\0",
    ];
    let text = random.of(&texts);
    let mut inserted = vec![header(random, kind, b"././@LongLink", b"", text.len())];
    content(&mut inserted, text);
    blocks.splice(at..at, inserted);
}

const SIZES: &[&[u8]] = &[
    b"00000000000\0",
    b"00000000001\0",
    b"00000000777\0",
    b"00000001000\0",
    b"00000001001\0",
    b"          5 ",
    b"          5\0",
    b"5          \0",
    b"77777777777\0",
    b"000000000005",
    b"5\0\0\0\0\0\0\0\0\0\0x",
    b"-0000000001\0",
    b"0x000000005\0",
    b"00000000008\0",
    b"            ",
    b"\x000000000005\0",
];
const NUMBERS: &[&[u8]] = &[
    b"0000000\0",
    b"7777777\0",
    b"       \0",
    b"\0\0\0\0\0\0\0\0",
    b"12345678",
    b"    12 \0",
];
const MAGICS: &[&[u8]] = &[
    b"ustar\x0000",
    b"ustar  \0",
    b"ustar   ",
    b"\0\0\0\0\0\0\0\0",
    b"ustar\x001\0",
];
const PREFIXES: &[&[u8]] = &[b"prefix", b"/pre", b"p\0q", b"00000000001\0"];
const ODD_NAMES: &[&[u8]] = &[
    b"\0",
    b"/\0",
    b"//\0",
    b"..\0",
    b"a//b\0",
    b"a/./b\0",
    b"f/\0",
    b"x\0y\0",
    &[b'n'; 100],
];
/// Where fields begin and end.
const EDGES: &[usize] = &[
    0, 99, 100, 108, 124, 135, 136, 156, 157, 256, 257, 262, 263, 345, 386, 482, 483,
];

fn change_header(random: &mut Random, block: &mut Block) {
    match random.below(8) {
        0 => put(block, 124, random.of(SIZES)),
        1 => {
            let mut size = [0; 12];
            size[0] = random.of(&[0x80, 0x80, 0x80, 0xff, 0xc0, 0x81]);
            size[11] = u8::try_from(random.below(256)).unwrap();
            put(block, 124, &size);
        }
        2 => block[156] = random.of(TYPES),
        3 => block[random.below(512)] = u8::try_from(random.below(256)).unwrap(),
        4 => block[random.of(EDGES)] = random.of(b"\0 07/.S\x80\xff"),
        5 => {
            put(block, 257, random.of(MAGICS));
            if random.one_in(2) {
                put(block, 345, random.of(PREFIXES));
            }
        }
        6 => {
            let place = random.of(&[0, 157]);
            put(block, place, random.of(ODD_NAMES));
        }
        _ => {
            let place = random.of(&[100, 108, 116]);
            put(block, place, random.of(NUMBERS));
        }
    }
}

fn insert_records(random: &mut Random, blocks: &mut Vec<Block>, at: usize, kind: u8) {
    let keys = [
        "path",
        "path",
        "linkpath",
        "size",
        "size",
        "uid",
        "mtime",
        "GNU.sparse.size",
        "GNU.sparse.realsize",
        "GNU.sparse.major",
        "GNU.sparse.minor",
        "GNU.sparse.name",
        "GNU.sparse.map",
        "GNU.sparse.offset",
        "GNU.sparse.numbytes",
        "SCHILY.xattr.user.x",
        "SCHILY.realsize",
        "SCHILY.devmajor",
        "hdrcharset",
        "comment",
        "LIBARCHIVE.xattr.user.x",
        "ctime",
        "uname",
        "GNU.sparse.numblocks",
        "charset",
        "",
    ];
    let values = [
        "new",
        "d/new/",
        "",
        "0",
        "5",
        "512",
        "1",
        "-1",
        "0,3,5,5",
        "99999999999999999999",
        "1.5",
        "BINARY",
        "x=y",
        "two\nlines",
        "nul\0byte",
        "\u{e9}",
        "05",
        " 5",
        "5 ",
        "/abs",
        "ISO-IR 10646 2000 UTF-8",
    ];
    let mut bytes = Vec::new();
    for _ in 0..=random.below(2) {
        let text = format!("{}={}", random.of(&keys), random.of(&values));
        let mut one = record(text.as_bytes());
        match random.below(24) {
            0 => one[0] = random.of(b"0123456789 "),
            1 => {
                one.pop();
            }
            2 => one.extend_from_slice(b"\0\0"),
            3 => one.insert(0, b'0'),
            _ => {}
        }
        bytes.extend_from_slice(&one);
    }
    let mut inserted = vec![header(random, kind, b"PaxHeaders/x", b"", bytes.len())];
    content(&mut inserted, &bytes);
    blocks.splice(at..at, inserted);
}
