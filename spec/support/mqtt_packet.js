// SPDX-License-Identifier: Apache-2.0
// mqtt-packet as an oracle for bytes: a line of JSON in, a line of JSON out.
//   {"version":5,"generate":{"cmd":"pingreq"}}  ->  {"hex":"c000"}
//   {"version":5,"parse":"c000"}                ->  {"packets":[{"cmd":"pingreq",…}]}
// Bytes that are no text are {"hex":"00ff"} either way. What it refuses is {"error":"…"}.
"use strict";

const mqtt = require("mqtt-packet");
const readline = require("readline");

function fromHex(key, value) {
  return value && typeof value.hex === "string" ? Buffer.from(value.hex, "hex") : value;
}

function toHex(key, value) {
  if (!value || value.type !== "Buffer") return value;
  return { hex: Buffer.from(value.data).toString("hex") };
}

function parse(version, bytes) {
  const packets = [];
  let error = null;
  const parser = mqtt.parser({ protocolVersion: version });
  parser.on("packet", (packet) => packets.push(packet));
  parser.on("error", (e) => { error = e.message; });
  const rest = parser.parse(bytes);
  if (error === null && rest > 0) error = rest + " bytes are left over";
  return error === null ? { packets } : { error, packets };
}

function answer(request) {
  const options = { protocolVersion: request.version };
  try {
    if (request.generate) {
      return { hex: mqtt.generate(request.generate, options).toString("hex") };
    }
    return parse(request.version, Buffer.from(request.parse, "hex"));
  } catch (e) {
    return { error: e.message };
  }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  console.log(JSON.stringify(answer(JSON.parse(line, fromHex)), toHex));
});
