//! Messages, D-Bus specification, "Message Format": a header, padding to eight bytes, a body.

use std::io::{self, Read};

use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use zbus::wire::serialized::{Context, Data};
use zbus::wire::{BE, LE, NATIVE_ENDIAN, to_bytes};
use zbus::{DynamicType, ObjectPath, Signature, Type, Variant};

use super::CallError;

/// Byte order, type, flags, version, length of the body, serial number, fields.
type Header<Field> = (u8, u8, u8, u8, u32, u32, Vec<(u8, Field)>);

/// The value of a field that is sent.
enum Field<'a> {
    Value(Variant<'a>),
    /// The types of the arguments, one after the other: a struct of them without its parentheses.
    Arguments(Signature),
}

impl Type for Field<'_> {
    const SIGNATURE: &'static Signature = Variant::SIGNATURE;
}

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Arguments(types) => {
                // The names are those by which the library knows a variant.
                let mut variant = serializer.serialize_struct("Variant", 2)?;
                variant.serialize_field("signature", &Signature::Signature)?;
                variant.serialize_field("value", &types.to_string_no_parens())?;
                variant.end()
            }
        }
    }
}

/// What comes before the fields and their length.
const FIXED: usize = 12;

/// No answer of systemd is nearly as long.
const LONGEST: usize = 1 << 20;

const METHOD_CALL: u8 = 1;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

const NO_REPLY_EXPECTED: u8 = 1;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// Which method of whom is called.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

impl Call<'_> {
    pub(super) fn encode<T>(
        &self,
        serial: u32,
        body: Option<&T>,
        answered: bool,
    ) -> Result<Vec<u8>, CallError>
    where
        T: Serialize + DynamicType + ?Sized,
    {
        let context = Context::new(NATIVE_ENDIAN, 0);
        let path = ObjectPath::try_from(self.path)?;
        let mut fields = vec![
            (PATH, Field::Value(Variant::new(path))),
            (INTERFACE, Field::Value(Variant::new(self.interface))),
            (MEMBER, Field::Value(Variant::new(self.member))),
            (DESTINATION, Field::Value(Variant::new(self.destination))),
        ];
        let mut content = Vec::new();
        if let Some(body) = body {
            fields.push((SIGNATURE, Field::Arguments(body.signature())));
            content = to_bytes(context, body)?.bytes().to_vec();
        }
        let flags = if answered { 0 } else { NO_REPLY_EXPECTED };
        let length = u32::try_from(content.len()).map_err(io::Error::other)?;
        let order = if NATIVE_ENDIAN == LE { b'l' } else { b'B' };
        let header: Header<Field<'_>> = (order, METHOD_CALL, flags, 1, length, serial, fields);
        let mut bytes = to_bytes(context, &header)?.bytes().to_vec();
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(content);
        Ok(bytes)
    }
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Message {
    kind: u8,
    member: String,
    error: String,
    reply_to: Option<u32>,
    body: Data<'static, 'static>,
}

impl Message {
    pub(super) fn read(source: &mut impl Read) -> Result<Self, CallError> {
        let mut bytes = vec![0; FIXED + 4];
        source.read_exact(&mut bytes)?;
        let endian = match bytes.first() {
            Some(b'B') => BE,
            _ => LE,
        };
        let context = Context::new(endian, 0);
        let number = |bytes: &[u8]| -> Result<usize, CallError> {
            let (number, _) = Data::new(bytes, context).deserialize::<u32>()?;
            usize::try_from(number).map_err(|error| io::Error::other(error).into())
        };
        let (body, fields) = (number(&bytes[4..8])?, number(&bytes[FIXED..])?);
        if fields > LONGEST || body > LONGEST {
            return Err(io::Error::from(io::ErrorKind::InvalidData).into());
        }
        let head = (FIXED + 4 + fields).next_multiple_of(8);
        bytes.resize(head + body, 0);
        source.read_exact(&mut bytes[FIXED + 4..])?;
        let body = Data::new(bytes.split_off(head), context);
        let header = Data::new(bytes, context);
        let ((_, kind, _, _, _, _, fields), _) = header.deserialize::<Header<Variant<'_>>>()?;
        let text = |wanted: u8| {
            let mut fields = fields.iter();
            let found = fields.find_map(|(code, value)| {
                (*code == wanted).then(|| <&str>::try_from(value).ok())?
            });
            found.unwrap_or_default().to_owned()
        };
        let reply_to = fields.iter().find(|(code, _)| *code == REPLY_SERIAL);
        Ok(Self {
            kind,
            member: text(MEMBER),
            error: text(ERROR_NAME),
            reply_to: reply_to.and_then(|(_, value)| u32::try_from(value).ok()),
            body,
        })
    }

    pub(super) fn answers(&self, serial: u32) -> bool {
        self.reply_to == Some(serial)
    }

    pub(super) fn is_signal(&self, member: &str) -> bool {
        self.kind == SIGNAL && self.member == member
    }

    pub(super) fn body<'a, T>(&'a self) -> Result<T, CallError>
    where
        T: Deserialize<'a> + Type,
    {
        Ok(self.body.deserialize()?.0)
    }

    /// The answer, or the error that it is.
    pub(super) fn into_answer(self) -> Result<Self, CallError> {
        if self.kind != ERROR {
            return Ok(self);
        }
        let text: &str = self.body().unwrap_or(&self.error);
        Err(CallError::Answer {
            name: self.error.clone(),
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> = Call {
        destination: "org.example",
        path: "/org/example",
        interface: "org.example.Manager",
        member: "Start",
    };

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let properties = [
            ("Delegate", Variant::new(true)),
            ("Max", Variant::new(7_u64)),
        ];
        let body = ("a.scope", properties.as_slice());
        let bytes = CALL.encode(3, Some(&body), true).unwrap();
        let message = Message::read(&mut bytes.as_slice()).unwrap();
        assert_eq!(
            (message.kind, message.member.as_str()),
            (METHOD_CALL, "Start")
        );
        let (unit, read): (&str, Vec<(&str, Variant<'_>)>) = message.body().unwrap();
        assert_eq!((unit, read.as_slice()), ("a.scope", properties.as_slice()));
    }

    #[test]
    fn the_arguments_are_no_struct() {
        let bytes = CALL.encode(1, Some(&("a", 1_u32)), true).unwrap();
        let expected = b"\x08\x01g\0\x02su\0";
        assert!(bytes.windows(expected.len()).any(|part| part == expected));
    }

    #[test]
    fn nobody_is_believed_about_lengths() {
        let whole = CALL.encode(1, Some("text"), true).unwrap();
        for length in 0..whole.len() {
            assert!(Message::read(&mut &whole[..length]).is_err(), "{length}");
        }
        for place in [7, 15] {
            let mut wrong = whole.clone();
            wrong[place] = 0x7f;
            assert!(Message::read(&mut wrong.as_slice()).is_err(), "{place}");
        }
    }
}
