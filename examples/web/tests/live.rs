//! `/live`, to the letter: what a client says, and what it is told.

mod common;

use common::{Outcome, Server};
use openline::CloseCode;
use serde_json::{Value, json};

fn offsets(messages: &[Value]) -> Vec<u64> {
    messages.iter().filter(|m| m.get("message").is_some()).map(|m| m["offset"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn a_join_gives_the_whole_log_the_rest_or_what_comes() -> Outcome {
    let server = Server::start(&[]);
    let mut writer = server.live().await;
    for number in 1..=3 {
        let said = writer.ask(json!({"say": "t", "message": number})).await;
        assert_eq!((&said["said"], &said["offset"], said.get("id")), (&json!("t"), &json!(number), None));
    }
    let mut reader = server.live().await;
    assert_ne!(reader.id, writer.id);
    let joined = reader.ask(json!({"join": "t", "unknown": [1]})).await;
    let epoch = joined["epoch"].clone();
    assert!(!epoch.as_str().unwrap().contains(':'));
    assert_eq!(joined, json!({"joined": "t", "epoch": epoch, "offset": 3, "whole": true}));
    for number in 1..=3 {
        let expected =
            json!({"topic": "t", "epoch": epoch, "offset": number, "socketid": writer.id, "message": number});
        assert_eq!(reader.next().await, expected);
    }
    // The cursor moves, back and forth.
    for (join, whole, expected) in [
        (json!({"join": "t", "from": "now"}), true, vec![]),
        (json!({"join": "t", "epoch": epoch, "offset": 1}), true, vec![2, 3]),
        (json!({"join": "t", "epoch": epoch, "offset": 3}), true, vec![]),
        (json!({"join": "t", "epoch": epoch, "offset": 4}), false, vec![1, 2, 3]),
        (json!({"join": "t", "epoch": "another", "offset": 2}), false, vec![1, 2, 3]),
        (json!({"join": "t", "epoch": epoch, "offset": 0}), true, vec![1, 2, 3]),
    ] {
        let joined = reader.ask(join.clone()).await;
        assert_eq!(joined, json!({"joined": "t", "epoch": epoch, "offset": 3, "whole": whole}), "{join}");
        assert_eq!(offsets(&reader.rest().await), expected, "{join}");
    }
    // One's own messages come too.
    let at = reader.ask(json!({"join": "t", "from": "now"})).await;
    assert_eq!(at["offset"], 3);
    reader.say(&json!({"say": "t", "message": {"a": null}, "id": "x"})).await;
    let (one, other) = (reader.next().await, reader.next().await);
    let (said, own) = if one.get("said").is_some() { (one, other) } else { (other, one) };
    assert_eq!(said, json!({"said": "t", "id": "x", "epoch": epoch, "offset": 4}));
    let expected = json!({"topic": "t", "epoch": epoch, "offset": 4, "socketid": reader.id, "message": {"a": null}});
    assert_eq!(own, expected);
    Ok(())
}

#[tokio::test]
async fn what_is_gone_is_told() -> Outcome {
    let server = Server::start(&["--retain", "3"]);
    let mut client = server.live().await;
    for number in 1..=10 {
        client.ask(json!({"say": "t", "message": number})).await;
    }
    let joined = client.ask(json!({"join": "t"})).await;
    assert_eq!((&joined["offset"], &joined["whole"]), (&json!(10), &json!(false)));
    assert_eq!(offsets(&client.rest().await), [8, 9, 10], "exactly as many as are to be retained");
    for (offset, whole, expected) in [(6, false, vec![8, 9, 10]), (7, true, vec![8, 9, 10]), (9, true, vec![10])] {
        let joined = client.ask(json!({"join": "t", "epoch": joined["epoch"], "offset": offset})).await;
        assert_eq!(joined["whole"], whole, "{offset}");
        assert_eq!(offsets(&client.rest().await), expected, "{offset}");
    }
    Ok(())
}

#[tokio::test]
async fn leaving_is_answered_behind_the_last_message() -> Outcome {
    let server = Server::start(&[]);
    let mut client = server.live().await;
    assert_eq!(client.ask(json!({"leave": "never joined"})).await, json!({"left": "never joined"}));
    client.ask(json!({"join": "t"})).await;
    for number in 0..20 {
        client.say(&json!({"say": "t", "message": number})).await;
    }
    client.say(&json!({"leave": "t"})).await;
    client.until("left").await;
    client.ask(json!({"say": "t", "message": "unheard"})).await;
    assert!(client.rest().await.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_id_is_said_once_by_whichever_socket() -> Outcome {
    let server = Server::start(&["--retain", "2"]);
    let mut first = server.live().await;
    let said = first.ask(json!({"say": "t", "message": {"a": [1, 2]}, "id": "x"})).await;
    assert_eq!(first.ask(json!({"say": "t", "message": {"a": [1, 2]}, "id": "x"})).await, said);
    // The client comes back on another socket, and writes its JSON in another way.
    let mut second = server.live().await;
    second.text(r#" { "say" : "t" , "message" : { "a" : [ 1 , 2 ] } , "id" : "x" } "#).await;
    assert_eq!(second.next().await, said);
    // Long after the message itself has gone.
    for number in 0..10 {
        second.ask(json!({"say": "t", "message": number})).await;
    }
    assert_eq!(second.ask(json!({"say": "t", "message": {"a": [1, 2]}, "id": "x"})).await, said);
    // With another message it is told, and not swallowed.
    let error = second.ask(json!({"say": "t", "message": {"a": [2, 1]}, "id": "x"})).await;
    assert_eq!((&error["say"], &error["id"], error.get("retry")), (&json!("t"), &json!("x"), None));
    assert!(error["error"].is_string());
    // In another topic it is another id.
    let other = second.ask(json!({"say": "u", "message": 1, "id": "x"})).await;
    assert_eq!((&other["said"], &other["offset"]), (&json!("u"), &json!(1)));
    assert_eq!(second.answer(json!({"join": "t"}), "joined").await["offset"], 11);
    Ok(())
}

#[tokio::test]
async fn what_is_wrong_is_an_error_that_names_what_it_answers() -> Outcome {
    let server = Server::start(&[]);
    let mut client = server.live().await;
    let (long, longest) = ("a".repeat(129), "é".repeat(64));
    for (text, context) in [
        ("", json!({})),
        ("what", json!({})),
        ("[]", json!({})),
        ("{}", json!({})),
        ("{\"hello\":1}", json!({})),
        ("{\"say\":\"t\"}", json!({"say": "t"})),
        ("{\"say\":\"t\",\"id\":\"x\"}", json!({"say": "t", "id": "x"})),
        ("{\"say\":\"t\",\"message\":1,\"id\":7}", json!({"say": "t", "id": 7})),
        ("{\"say\":\"\",\"message\":1}", json!({"say": ""})),
        ("{\"say\":null,\"message\":1}", json!({"say": null})),
        ("{\"say\":\"auction:1\",\"message\":1,\"id\":\"x\"}", json!({"say": "auction:1", "id": "x"})),
        ("{\"say\":\"auction:else\",\"message\":1}", json!({"say": "auction:else"})),
        ("{\"say\":\"server:figures\",\"message\":1}", json!({"say": "server:figures"})),
        ("{\"join\":\"t\",\"lag\":\"none\"}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"lag\":null}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"epoch\":\"e\"}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"offset\":1}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"epoch\":\"e\",\"offset\":-1}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"epoch\":\"e\",\"offset\":1.5}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"epoch\":\"a:b\",\"offset\":1}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"epoch\":3,\"offset\":1}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"from\":\"then\"}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"from\":\"now\",\"epoch\":\"e\",\"offset\":1}", json!({"join": "t"})),
        ("{\"join\":\"t\",\"as\":\"\"}", json!({"join": "t"})),
        ("{\"join\":[1]}", json!({"join": [1]})),
        ("{\"leave\":1}", json!({"leave": 1})),
        ("{\"join\":\"t\",\"leave\":\"t\"}", json!({"join": "t"})),
        ("{\"bid\":6,\"amount\":1,\"id\":\"x\"}", json!({"bid": 6, "id": "x"})),
        ("{\"bid\":0,\"amount\":1}", json!({"bid": 0})),
        ("{\"bid\":{},\"amount\":1}", json!({"bid": {}})),
        ("{\"bid\":1,\"id\":\"x\"}", json!({"bid": 1, "id": "x"})),
        ("{\"bid\":1,\"amount\":0}", json!({"bid": 1})),
        ("{\"bid\":1,\"amount\":9007199254740992}", json!({"bid": 1})),
        ("{\"bid\":1,\"amount\":\"5\"}", json!({"bid": 1})),
        ("{\"bid\":1,\"amount\":1.5}", json!({"bid": 1})),
        (&format!("{{\"join\":\"{long}\"}}"), json!({"join": long})),
        (&"[".repeat(60_000), json!({})),
    ] {
        client.text(text).await;
        let mut error = client.next().await;
        let why =
            error.as_object_mut().unwrap().remove("error").unwrap_or_else(|| panic!("{text} is answered {error}"));
        assert!(why.is_string());
        assert_eq!(error, context, "{text}");
    }
    client.socket.send(vec![1, 2, 3]).await?;
    assert!(client.next().await["error"].is_string());
    // The connection stays, and nothing was joined or said.
    let joined = client.ask(json!({"join": longest})).await;
    assert_eq!((&joined["joined"], &joined["offset"]), (&json!(longest), &json!(0)));
    assert!(client.rest().await.is_empty());
    Ok(())
}

#[tokio::test]
async fn deep_and_odd_json_comes_through() -> Outcome {
    let server = Server::start(&[]);
    let mut client = server.live().await;
    client.ask(json!({"join": "t"})).await;
    for message in
        ["null", "1e999", "-0", "\"\\ud800\"", "\"\\u0000\\n\"", "123456789012345678901234567890", "{\"a\":1,\"a\":2}"]
    {
        client.text(&format!("{{\"say\":\"t\",\"message\":{message}}}")).await;
        let heard = loop {
            let heard = client.socket.recv().await?.unwrap();
            if heard.as_text().unwrap().contains("\"topic\"") {
                break heard.as_text().unwrap().to_owned();
            }
        };
        assert!(heard.ends_with(&format!("\"message\":{message}}}")), "{heard}");
    }
    let deep = format!("{{\"say\":\"t\",\"message\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000));
    client.text(&deep).await;
    for _ in 0..2 {
        client.socket.recv().await?.unwrap();
    }
    Ok(())
}

#[tokio::test]
async fn a_message_of_64_kib_is_taken_and_a_longer_one_is_1009() -> Outcome {
    let server = Server::start(&[]);
    let mut client = server.live().await;
    let frame = json!({"say": "t", "message": ""}).to_string().len();
    let said = client.ask(json!({"say": "t", "message": "a".repeat((64 << 10) - frame)})).await;
    assert_eq!(said["offset"], 1);
    client.say(&json!({"say": "t", "message": "a".repeat((64 << 10) - frame + 1)})).await;
    assert!(client.socket.recv().await?.is_none());
    assert_eq!(client.socket.closed().unwrap().code, CloseCode::MESSAGE_TOO_BIG);
    Ok(())
}

#[tokio::test]
async fn a_socket_has_128_topics() -> Outcome {
    let server = Server::start(&[]);
    let mut client = server.live().await;
    for number in 0..64 {
        assert!(client.ask(json!({"join": format!("j{number}")})).await.get("joined").is_some());
        assert!(client.ask(json!({"say": format!("s{number}"), "message": 1})).await.get("said").is_some());
    }
    let error = client.ask(json!({"join": "one more"})).await;
    assert_eq!((error.get("error").is_some(), &error["join"]), (true, &json!("one more")));
    let error = client.ask(json!({"say": "one more", "message": 1, "id": "x"})).await;
    assert_eq!((error.get("error").is_some(), &error["say"], &error["id"]), (true, &json!("one more"), &json!("x")));
    // What it has already goes on, and a topic that is left makes room.
    assert!(client.ask(json!({"join": "s1"})).await.get("joined").is_some());
    client.rest().await;
    assert_eq!(client.ask(json!({"leave": "j0"})).await, json!({"left": "j0"}));
    assert!(client.ask(json!({"say": "one more", "message": 1})).await.get("said").is_some());
    Ok(())
}

/// What one socket says stays in order, however fast it comes.
#[tokio::test]
async fn one_write_of_3000_messages_costs_nobody_his_place() -> Outcome {
    let server = Server::start(&[]);
    let mut readers = Vec::new();
    for _ in 0..5 {
        let mut reader = server.live().await;
        reader.ask(json!({"join": "t", "from": "now"})).await;
        readers.push(reader);
    }
    let mut writer = server.live().await;
    writer.ask(json!({"join": "t", "from": "now"})).await;
    for number in 1..=3000 {
        writer.socket.feed(json!({"say": "t", "message": number}).to_string()).await?;
    }
    writer.socket.flush().await?;
    for reader in readers.iter_mut().chain([&mut writer]) {
        let mut expected = 1;
        while expected <= 3000 {
            let next = reader.next().await;
            assert!(next.get("error").is_none() && next.get("reason").is_none(), "{next}");
            if next.get("message").is_some() {
                assert_eq!((&next["offset"], &next["message"]), (&json!(expected), &json!(expected)));
                expected += 1;
            }
        }
    }
    Ok(())
}
