import assert from "node:assert/strict";
import { test } from "node:test";
import { cookie } from "../src/cookie";
import { nextPlace } from "../src/next";

test("the next place is one of ours", () => {
  const places: [string, string][] = [
    ["", "/"],
    ["?next=/", "/"],
    ["?next=%2Foauth2%2Fauthorize%3Fclient_id%3Da%26state%3Db", "/oauth2/authorize?client_id=a&state=b"],
    ["?next=https%3A%2F%2Felsewhere.example%2F", "/"],
    ["?next=%2F%2Felsewhere.example", "/"],
    ["?next=%2F%5Celsewhere.example", "/"],
    ["?next=%2F%09%2Felsewhere.example", "/"],
    ["?next=javascript%3Aalert(1)", "/"],
  ];
  for (const [search, want] of places) {
    assert.equal(nextPlace(search), want, search);
  }
});

test("a cookie is found by its whole name", () => {
  assert.equal(cookie("xgatehouse_csrf=1; gatehouse_csrf=a%3Db; other=2", "gatehouse_csrf"), "a=b");
  assert.equal(cookie("", "gatehouse_csrf"), "");
});
