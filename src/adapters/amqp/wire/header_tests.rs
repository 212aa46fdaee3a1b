use amq_protocol::frame::parsing::parse_frame;
use proptest::prelude::*;

use super::*;
use crate::adapters::amqp::wire::Original;

/// As RabbitMQ agrees on.
const ROOM: usize = 131_072 - 8 - BEFORE_LIST;

fn text(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A property list of one property.
fn only(index: usize, bytes: &[u8]) -> Vec<u8> {
    [&(1_u16 << (15 - index)).to_be_bytes()[..], bytes].concat()
}

fn headers(entries: &[u8]) -> Vec<u8> {
    only(HEADERS, &sized(entries))
}

fn is_readable(list: &[u8]) -> bool {
    let payload = [&[0, 60, 0, 0][..], &[0; 8], list].concat();
    let frame = [&[2, 0, 1][..], &sized(&payload), &[0xce]].concat();
    parse_frame(&frame[..]).is_ok_and(|(rest, _)| rest.is_empty())
}

/// What comes back from the broker where the message is put to the dead letters.
fn buried(list: &[u8], room: usize) -> Vec<u8> {
    let shown = shown(list, room).unwrap_or_else(|| list.to_vec());
    let (_, properties) = lapin::protocol::basic::parse_properties(&shown[..]).expect("shown is readable");
    let unreadable = Original::from(properties).unreadable.expect("an unreadable message");
    let properties = unreadable.kept(|name| name == "x-ours", &[("x-note", "why".to_owned())]);
    let written = lapin::protocol::basic::gen_properties(&properties)(Vec::new().into());
    let (list, _) = written.expect("written").into_inner();
    told(&list, room).unwrap_or(list)
}

fn arb_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-z.-]{0,12}".prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..12),
        1 => prop::collection::vec(any::<u8>(), 255..256),
    ]
}

/// A value as RabbitMQ takes it, its kind before it.
fn arb_value() -> impl Strategy<Value = Vec<u8>> {
    let fixed = |kind: u8, size: usize| {
        prop::collection::vec(any::<u8>(), size).prop_map(move |bytes| [&[kind][..], &bytes].concat())
    };
    let leaf = prop_oneof![
        Just(b"V".to_vec()),
        fixed(b't', 1),
        fixed(b'b', 1),
        fixed(b'B', 1),
        fixed(b's', 2),
        fixed(b'u', 2),
        fixed(b'I', 4),
        fixed(b'i', 4),
        fixed(b'f', 4),
        fixed(b'D', 5),
        fixed(b'L', 8),
        fixed(b'l', 8),
        fixed(b'd', 8),
        fixed(b'T', 8),
        (prop::sample::select(vec![b'S', b'x']), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(kind, bytes)| [&[kind][..], &sized(&bytes)].concat()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|all| [b"A", &sized(&all.concat())[..]].concat()),
            arb_entries(inner).prop_map(|entries| [b"F", &sized(&entries)[..]].concat()),
        ]
    })
}

fn arb_entries(value: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let entry = (arb_text(), value).prop_map(|(name, value)| [text(&name), value].concat());
    prop::collection::vec(entry, 0..5).prop_map(|entries| entries.concat())
}

fn arb_list() -> impl Strategy<Value = Vec<u8>> {
    let properties = PROPERTIES.map(|(_, kind)| {
        let bytes = match kind {
            Kind::Short => arb_text().prop_map(|bytes| text(&bytes)).boxed(),
            Kind::Octet => any::<u8>().prop_map(|octet| vec![octet]).boxed(),
            Kind::Time => any::<u64>().prop_map(|time| time.to_be_bytes().to_vec()).boxed(),
            Kind::Table => arb_entries(arb_value()).prop_map(|entries| sized(&entries)).boxed(),
        };
        prop::option::of(bytes).boxed()
    });
    Vec::from(properties).prop_map(|properties| {
        let flags = properties.iter().enumerate().filter(|(_, bytes)| bytes.is_some());
        let flags: u16 = flags.map(|(index, _)| 1 << (15 - index)).sum();
        [&flags.to_be_bytes()[..], &properties.into_iter().flatten().flatten().collect::<Vec<u8>>()].concat()
    })
}

proptest! {
    #[test]
    fn the_client_is_shown_what_it_can_read_and_nothing_else_is_touched(list in arb_list(), room in prop::sample::select(vec![4_000, ROOM])) {
        match shown(&list, room) {
            None => prop_assert!(is_readable(&list) && list.len() <= room),
            Some(instead) => {
                prop_assert!(is_readable(&instead) && instead.len() <= room);
                prop_assert!(!is_readable(&list) || list.len() > room);
            }
        }
    }

    #[test]
    fn what_cannot_be_read_is_buried_as_it_came(list in arb_list()) {
        let Some(faulty) = examine(&list) else { return Ok(()) };
        prop_assert!(is_readable(&faulty.repaired));
        let (before, after) = (Parts::of(&list).unwrap(), buried(&list, ROOM));
        let after = Parts::of(&after).unwrap();
        for (index, (name, _)) in PROPERTIES.iter().enumerate() {
            let [was, is] = [&before, &after].map(|parts| parts.places[index].clone().map(|place| &parts.list[place]));
            match index {
                HEADERS => {}
                DELIVERY_MODE => prop_assert_eq!(is, Some(&[PERSISTENT][..])),
                EXPIRATION | USER_ID => prop_assert_eq!(is, None),
                _ => prop_assert_eq!(was, is, "{}", name),
            }
        }
        let entries = |parts: &Parts<'_>| -> Vec<Vec<u8>> {
            parts.entries.iter().map(|entry| parts.list[entry.whole.clone()].to_vec()).collect()
        };
        let mut expected = entries(&before);
        expected.push(note("x-note", "why"));
        prop_assert_eq!(entries(&after), expected);
    }

    #[test]
    fn no_bytes_at_all_break_the_reading(bytes in prop::collection::vec(any::<u8>(), 0..200), room in 64_usize..300) {
        let shown = shown(&bytes, room).unwrap_or(bytes);
        prop_assert!(is_readable(&shown) && shown.len() <= room);
        let (_, properties) = lapin::protocol::basic::parse_properties(&shown[..]).unwrap();
        if let Some(unreadable) = Original::from(properties).unreadable {
            prop_assert!(Parts::of(&unreadable.bytes_without(&[])).is_ok());
        }
    }
}

#[test]
fn a_fault_names_its_property() {
    let check = |list: &[u8], fault: &str| assert_eq!(examine(list).unwrap().fault, fault);
    for (index, (name, kind)) in PROPERTIES.iter().enumerate() {
        if matches!(kind, Kind::Short) {
            check(&only(index, &text(b"caf\xe9-1")), &format!("{name}: is not UTF-8 (byte 3)"));
        }
    }
    let name = [&text(b"\xe9")[..], b"V"].concat();
    check(&headers(&name), "headers: the name \"\u{fffd}\" is not UTF-8 (byte 0)");
    check(
        &headers(&[&text(b"a")[..], b"F", &sized(&name)].concat()),
        "headers: the name \"\u{fffd}\" is not UTF-8 (byte 0)",
    );
    check(
        &headers(&name.repeat(6)),
        &format!("{}; and 2 more", ["headers: the name \"\u{fffd}\" is not UTF-8 (byte 0)"; 4].join("; ")),
    );
    check(&headers(&[&short(ENCLOSED)[..], b"V"].concat()), "headers: \"x-roomsweep-raw\" is a name of our own");
    check(&headers(&[&text(b"a")[..], b"?"].concat()), "properties: the list holds a value of the unknown kind '?'");
    check(&only(0, &[9]), "properties: the list ends too early");
    check(&[0, 0, 0], "properties: the list is followed by bytes that belong to nothing");
}

#[test]
fn what_can_be_read_of_an_unreadable_list_stays_beside_it() {
    let list = [
        &(1_u16 << (15 - REPLY_TO) | 1_u16 << (15 - 8) | 1_u16 << (15 - 10)).to_be_bytes()[..],
        &text(b"r\xff"),
        &text(b"caf\xe9-1"),
        &text(b"dismiss"),
    ]
    .concat();
    let (_, properties) = lapin::protocol::basic::parse_properties(&shown(&list, ROOM).unwrap()[..]).unwrap();
    let original = Original::from(properties);
    let readable = &original.readable;
    let shown = |text: &Option<lapin::types::ShortString>| text.as_ref().map(ToString::to_string);
    assert_eq!(shown(readable.message_id()).as_deref(), Some("caf?-1"));
    assert_eq!(shown(readable.kind()).as_deref(), Some("dismiss"));
    assert_eq!(shown(readable.reply_to()), None, "a copy would go to another queue");
    assert_eq!(
        original.unreadable.unwrap().fault,
        "reply_to: is not UTF-8 (byte 1); message_id: is not UTF-8 (byte 3)"
    );
}

#[test]
fn headers_larger_than_a_frame_lose_their_largest_entries_only() {
    let entry = |name: &str, size: usize| [&short(name)[..], b"S", &sized(&vec![b'z'; size])].concat();
    let list =
        headers(&[entry("small", 10), entry("large", 100_000), entry("larger", 31_000), entry("last", 5)].concat());
    assert_eq!(
        shown(&list, ROOM),
        Some(headers(&[entry("small", 10), entry("larger", 31_000), entry("last", 5)].concat()))
    );
    assert_eq!(shown(&headers(&entry("large", 100_000)), ROOM), None);
    assert_eq!(told(&list, ROOM), shown(&list, ROOM));
    let all = headers(&[entry("a", 3_000), entry("b", 3_000)].concat());
    assert_eq!(shown(&all, 3_100), Some(headers(&entry("b", 3_000))));
}

#[test]
fn headers_nested_without_end_are_walked_without_a_stack() {
    let depth = 26_000_u32;
    let lists = (0..depth).rev().flat_map(|inner| [&b"A"[..], &(5 * inner + 1).to_be_bytes()].concat());
    let list = headers(&[&text(b"a")[..], &lists.collect::<Vec<u8>>(), b"V"].concat());
    assert_eq!(examine(&list), None);
}

#[test]
fn a_producer_who_writes_an_enclosing_list_himself_harms_only_his_message() {
    let inside = only(8, &text(b"caf\xe9"));
    let forged = enclose(&inside);
    let shown = shown(&forged, ROOM).unwrap();
    assert_eq!(enclosed(&shown), Some(&forged[..]));
    let kept = buried(&forged, ROOM);
    assert!(enclosed(&kept).is_none(), "what lies inside never goes to the broker as properties");
}
