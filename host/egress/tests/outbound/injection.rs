//! Credentials on their way in.

use std::sync::Arc;

use crate::world::*;
use base64::Engine as _;
use certosa_egress::{Credential, EgressError, GuestError, InjectError, Secret, SecretUnavailable};
use certosa_model::{CredentialName, Injection, PathPattern};

fn header_of(name: &str, prefix: &str) -> Injection {
    Injection::Header { name: name.to_owned(), prefix: prefix.to_owned() }
}

fn why(sent: Result<Got, EgressError>) -> InjectError {
    match sent.unwrap_err() {
        EgressError::Inject(why) => why,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_credential_goes_into_the_header_of_its_rule() {
    for world in [World::new(), World::http1()] {
        let server = world.serve(async |_| reply("in")).await;
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("ana:{PLAIN}"));
        for (injection, name, value) in [
            (Injection::Bearer, "authorization", format!("Bearer {PLAIN}")),
            (Injection::Basic { user: "ana".to_owned() }, "authorization", format!("Basic {basic}")),
            (header_of("x-api-key", ""), "x-api-key", PLAIN.to_owned()),
            (header_of("authorization", "token "), "authorization", format!("token {PLAIN}")),
        ] {
            let ask = get(&server)
                .with(credential(&server, injection, PLAIN))
                .header(name, "the guest's own")
                .header(name, "and another")
                .header("connection", name);
            assert_eq!(world.send(ask).await.unwrap().status, 200);
            let seen = server.last();
            assert_eq!(seen.headers.get_all(name).iter().collect::<Vec<_>>(), [value.as_str()]);
        }
    }
}

#[tokio::test]
async fn a_guest_does_not_speak_where_a_credential_does() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let ask = get(&server)
        .with(credential(&server, header_of("x-api-key", ""), PLAIN))
        .header("authorization", "Bearer own")
        .header("cookie", "session=own")
        .header("accept-encoding", "gzip, br")
        .header("range", "bytes=0-3")
        .header("if-range", "x")
        // To some upstreams this is the same name.
        .header("x_api_key", "own")
        .header("x_api-key", "own")
        .header("accept", "*/*");
    world.send(ask).await.unwrap();
    let seen = server.last();
    for name in ["authorization", "cookie", "range", "if-range", "x_api_key", "x_api-key"] {
        assert_eq!(seen.header(name), None);
    }
    assert_eq!((seen.header("accept-encoding"), seen.header("accept")), (Some("identity"), Some("*/*")));
}

#[tokio::test]
async fn a_parameter_is_escaped_and_replaces_the_guests() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let injection = Injection::Query { name: "api_key".to_owned() };
    let ask = get(&server).path("/a?api_key=own&x=1&api%5Fkey=own").with(credential(&server, injection, SECRET));
    world.send(ask).await.unwrap();
    let coded = "s3cr3t%2FTo%2Bken%3D%22with%26odd%3Cchars%3E";
    assert!(server.last().uri.ends_with(&format!("/a?x=1&api_key={coded}")), "{}", server.last().uri);
}

#[tokio::test]
async fn a_member_of_json_and_a_field_of_a_form() {
    let world = World::http1();
    let server = world.serve(async |_| reply("in")).await;
    let json = || credential(&server, Injection::JsonField { name: "key".to_owned() }, SECRET);
    let form = || credential(&server, Injection::FormField { name: "key".to_owned() }, SECRET);
    let form_type = "application/x-www-form-urlencoded";

    world.send(get(&server).post("application/json; charset=utf-8", r#"{"a":[1]}"#).with(json())).await.unwrap();
    let read: serde_json::Value = serde_json::from_slice(&server.last().body).unwrap();
    assert_eq!(read, serde_json::json!({ "key": SECRET, "a": [1] }));
    assert_eq!(server.last().header("content-length"), Some(server.last().body.len().to_string().as_str()));

    world.send(get(&server).post(form_type, "a=1").with(form())).await.unwrap();
    assert_eq!(server.last().body, "key=s3cr3t%2FTo%2Bken%3D%22with%26odd%3Cchars%3E&a=1");
    let count = server.count();

    let post = |kind: &str, text: &str| get(&server).post(kind, text);
    for (ask, wanted) in [
        (post("application/json", r#"{"k\u0065y":1}"#).with(json()), InjectError::Duplicate),
        (post("application/json", "[1]").with(json()), InjectError::Body("a JSON object")),
        (post("application/json", "").with(json()), InjectError::Body("a JSON object")),
        (post("text/plain", "{}").with(json()), InjectError::ContentType("application/json")),
        (post(form_type, "k%65y=1").with(form()), InjectError::Duplicate),
        (post("application/json", "{}").with(form()), InjectError::ContentType(form_type)),
        (
            post("application/json", "{}").header("content-encoding", "gzip").with(json()),
            InjectError::Body("as it is, but coded"),
        ),
    ] {
        assert_eq!(why(world.send(ask).await), wanted);
    }
    let large = post("application/json", &format!("{{\"a\":\"{}\"}}", "x".repeat(2000)));
    let error = world.send(large.with(json()).limits(|limits| limits.request_bytes_max = 1000)).await.unwrap_err();
    assert_eq!((error.code(), error.guest()), ("requestBytesMax", GuestError::HttpRequestBodySize));
    assert_eq!(server.count(), count);
}

#[tokio::test]
async fn a_value_that_no_header_can_have_is_refused_and_not_shown() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    for (secret, wanted) in [
        ("ghp_abcdef\r\nx-evil: 1", InjectError::Value),
        ("ghp_abcdef\n", InjectError::Value),
        ("ghp_abcdef ", InjectError::Value),
        ("ghp_\0abcdef", InjectError::Value),
        ("ghp_äbcdef", InjectError::Value),
        ("", InjectError::Length),
    ] {
        let error = world.send(get(&server).with(credential(&server, Injection::Bearer, secret))).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("abcdef"));
        assert_eq!(why(Err(error)), wanted, "{secret:?}");
    }
    let basic = |user: &str, secret: &str| {
        get(&server).with(credential(&server, Injection::Basic { user: user.to_owned() }, secret))
    };
    assert_eq!(why(world.send(basic("a:b", PLAIN)).await), InjectError::User);
    assert_eq!(why(world.send(basic("a", "pass\nword")).await), InjectError::Value);
    for name in ["host", "content-length", "x-forwarded-for", "connection", "a b", ""] {
        let ask = get(&server).with(credential(&server, header_of(name, ""), PLAIN));
        assert_eq!(why(world.send(ask).await), InjectError::HeaderName, "{name}");
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn a_credential_has_a_reach_of_its_own() {
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let narrow = || {
        let mut reach = reach(server.port());
        reach.paths = vec![PathPattern::new("/mine/**").unwrap()];
        let name = CredentialName::new("narrow").unwrap();
        let secret = Box::new(Value(PLAIN.as_bytes().to_vec()));
        Arc::new(Credential { name, reach: Arc::new(reach), injection: Injection::Bearer, secret })
    };
    let error = world.send(get(&server).path("/other").with(narrow())).await.unwrap_err();
    assert_eq!(error.code(), "paths");
    assert!(error.to_string().contains("the credential narrow"), "{error}");
    assert_eq!(server.count(), 0);
    assert_eq!(world.send(get(&server).path("/mine/x").with(narrow())).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_vault_that_gives_nothing_sends_nothing() {
    struct Sealed;
    impl Secret for Sealed {
        fn expose(&self, _: &mut dyn FnMut(&[u8])) -> Result<(), SecretUnavailable> {
            Err(SecretUnavailable::Absent)
        }
    }
    let world = World::new();
    let server = world.serve(async |_| reply("in")).await;
    let name = CredentialName::new("sealed").unwrap();
    let injection = Injection::Bearer;
    let sealed = Credential { name, reach: Arc::new(reach(server.port())), injection, secret: Box::new(Sealed) };
    let error = world.send(get(&server).with(Arc::new(sealed))).await.unwrap_err();
    assert_eq!(error.guest(), GuestError::InternalError);
    assert_eq!(server.count(), 0);
}
