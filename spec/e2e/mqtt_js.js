// SPDX-License-Identifier: Apache-2.0
// mqtt.js against the host: a client with its own reading of the standard. Prints one line per
// scenario that went well; anything else ends it with a trace. Argument: port.
"use strict";

const assert = require("assert");
const mqtt = require("mqtt");

const PORT = Number(process.argv[2]);
const WAIT = 60000;

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("waited for " + what)), WAIT);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

class Client {
  // Resolves once it is connected; messages wait in a queue.
  static async open(clientId, protocolVersion, options = {}) {
    const self = new Client();
    self.messages = [];
    self.takers = [];
    self.c = mqtt.connect({ host: "127.0.0.1", port: PORT, clientId, protocolVersion,
      reconnectPeriod: 0, ...options });
    self.c.on("message", (topic, payload, packet) => {
      const message = { ...packet, topic }; // an alias resolved
      const taker = self.takers.shift();
      if (taker) taker(message); else self.messages.push(message);
    });
    self.connack = await within(new Promise((resolve, reject) => {
      self.c.once("connect", resolve);
      self.c.once("error", reject);
      self.c.once("close", () => reject(new Error(clientId + " was closed")));
    }), "CONNACK");
    return self;
  }

  call(method, ...args) {
    return within(new Promise((resolve, reject) => {
      this.c[method](...args, (error, result) => {
        if (error) reject(error); else resolve(result);
      });
    }), method);
  }

  subscribe(filter, options) { return this.call("subscribe", filter, options); }

  publish(topic, payload, options) { return this.call("publish", topic, payload, options); }

  take() {
    if (this.messages.length > 0) return Promise.resolve(this.messages.shift());
    return within(new Promise((resolve) => this.takers.push(resolve)), "a message");
  }

  close() { return this.call("end", false, {}); }

  // Without a DISCONNECT.
  drop() {
    const closed = new Promise((resolve) => this.c.once("close", resolve));
    this.c.stream.destroy();
    return within(closed, "the end");
  }
}

async function everyday(version) {
  const sub = await Client.open("jsub" + version, version);
  const pub = await Client.open("jpub" + version, version);
  const granted = await sub.subscribe("js/#", { qos: 2 });
  assert.strictEqual(granted[0].qos, 2);
  for (const qos of [0, 1, 2]) {
    for (const size of [0, 1, 1000, 100000]) {
      await pub.publish("js/" + size, "x".repeat(size), { qos });
      const m = await sub.take();
      assert.deepStrictEqual([m.topic, m.qos, m.payload.length, m.dup, m.retain],
        ["js/" + size, qos, size, false, false]);
    }
  }
  // It sends them all at once, and does not look at the server's receive maximum by itself.
  const many = version === 5 ? pub.connack.properties.receiveMaximum : 300;
  const sent = [];
  for (let i = 0; i < many; i++) sent.push(pub.publish("js/order", String(i), { qos: 2 }));
  for (let i = 0; i < many; i++) {
    assert.strictEqual((await sub.take()).payload.toString(), String(i));
  }
  await Promise.all(sent);
  await sub.call("unsubscribe", "js/#");
  await pub.publish("js/gone", "x", { qos: 1 });
  await pub.publish("js/kept", "kept", { qos: 1, retain: true });
  const late = await Client.open("jlate" + version, version);
  await late.subscribe("js/kept", { qos: 1 });
  const kept = await late.take();
  assert.deepStrictEqual([kept.payload.toString(), kept.retain, kept.qos], ["kept", true, 1]);
  await pub.publish("js/kept", "", { qos: 1, retain: true });
  assert.deepStrictEqual(sub.messages, []);
  for (const c of [sub, pub, late]) await c.close();
}

async function session(version) {
  const stay = { clean: false, properties: version === 5 ? { sessionExpiryInterval: 100 } : {} };
  const name = "jsession" + version;
  const first = await Client.open(name, version, stay);
  assert.strictEqual(first.connack.sessionPresent, false);
  await first.subscribe("js/session", { qos: 2 });
  await first.drop();
  const pub = await Client.open("jpub" + version, version);
  const qosOf = (i) => i < 10 ? 1 : 2; // it hands QoS 2 on at PUBREL, QoS 1 at once
  for (let i = 0; i < 20; i++) await pub.publish("js/session", String(i), { qos: qosOf(i) });
  const again = await Client.open(name, version, stay);
  assert.strictEqual(again.connack.sessionPresent, true);
  for (let i = 0; i < 20; i++) {
    const m = await again.take();
    assert.deepStrictEqual([m.payload.toString(), m.qos], [String(i), qosOf(i)]);
  }
  await again.close();
  const anew = await Client.open(name, version, { clean: true });
  assert.strictEqual(anew.connack.sessionPresent, false);
  await anew.close();
  await pub.close();
}

async function will(version) {
  const sub = await Client.open("jsub" + version, version);
  await sub.subscribe("js/will", { qos: 1 });
  const message = { topic: "js/will", payload: "gone", qos: 1, retain: false };
  const polite = await Client.open("jpolite" + version, version,
    { will: { ...message, payload: "polite" } });
  await polite.close();
  const dying = await Client.open("jdying" + version, version, { will: message });
  await dying.drop();
  assert.strictEqual((await sub.take()).payload.toString(), "gone");
  await sub.close();
}

async function properties() {
  const sub = await Client.open("jsub5", 5, { topicAliasMaximum: 10 });
  const pub = await Client.open("jpub5", 5, { autoAssignTopicAlias: true });
  assert(pub.connack.properties.topicAliasMaximum > 0);
  await sub.subscribe("js/props", { qos: 1, nl: true, rap: true,
    properties: { subscriptionIdentifier: 42 } });
  const given = { payloadFormatIndicator: true, contentType: "text/plain",
    responseTopic: "re/ply", correlationData: Buffer.from([0, 1, 255]),
    userProperties: { a: ["1", "3"], b: "2" } };
  await pub.publish("js/props", "x", { qos: 1, retain: true,
    properties: { ...given, messageExpiryInterval: 60 } });
  const m = await sub.take();
  assert.strictEqual(m.retain, true);
  const { messageExpiryInterval, subscriptionIdentifier, topicAlias, ...rest } = m.properties;
  assert(messageExpiryInterval > 30 && messageExpiryInterval <= 60);
  assert.strictEqual(subscriptionIdentifier, 42);
  assert(topicAlias >= 1 && topicAlias <= 10);
  assert.deepStrictEqual({ ...rest, userProperties: { ...rest.userProperties } }, given);
  await pub.publish("js/props", "by alias", { qos: 1 });
  const short = await sub.take();
  assert.deepStrictEqual([short.topic, short.payload.toString()], ["js/props", "by alias"]);
  await sub.publish("js/props", "mine", { qos: 1 }); // no local
  await pub.publish("js/props", "", { qos: 1, retain: true });
  assert.strictEqual((await sub.take()).payload.length, 0);
  await assert.rejects(Client.open("jauth", 5,
    { properties: { authenticationMethod: "none" } }), /Bad authentication method/);
  await sub.close();
  await pub.close();
}

async function main() {
  for (const version of [4, 5]) {
    for (const scenario of [everyday, session, will]) {
      await scenario(version);
      console.log(scenario.name, version);
    }
  }
  await properties();
  console.log("properties");
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
