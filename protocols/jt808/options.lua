-- SPDX-License-Identifier: Apache-2.0
-- The options of the adapter. Where the standard or its readers disagree, the default is what
-- does no harm; docs/protocols/jt808.md has the reasons.
local VENDORS = {
  "standard", "gps51", "fuel_percent", "battery", "supply", "obd", "lock", "tpms", "tracker",
  "radio", "sensors", "cells_eb", "list_eb", "guangdong",
}
local EDITIONS = { "auto", "2011", "2013", "2019" }

return {
  topic = { type = "topic", default = "jt808/${device}/${type}", help = "where messages go" },
  down = { type = "topic", default = "jt808/${device}/down", help = "where commands come from" },
  payload = {
    type = "enum", choices = { "tidegate", "emqx" }, default = "tidegate",
    help = "emqx: topics and JSON as EMQX's gateway has them",
  },
  auth = {
    type = "enum", choices = { "issue", "strict" }, default = "issue",
    help = "issue: any code that the auth chain accepts; strict: only codes issued or listed here",
  },
  registration = {
    type = "enum", choices = { "check", "accept" }, default = "check",
    help = "check: the auth chain is asked; accept: every terminal gets a code",
  },
  code_is = {
    type = "enum", choices = { "extra", "password" }, default = "extra",
    help = "how the auth chain sees a code: among what is extra, or as the device's password",
  },
  codes = { type = "map", default = {}, help = "fixed codes: [\"013800138000\"] = \"…\"" },
  code_lifetime = { type = "duration", default = "40d", help = "of an issued code" },
  logins_per_minute = {
    type = "integer", default = 30, min = 1,
    help = "of one device; more are refused: two terminals have the same number",
  },
  terminals = {
    type = "integer", default = 10000, min = 1, max = 1000000,
    help = "phones on one connection of a concentrator; more are refused",
  },
  before_auth = {
    type = "enum", choices = { "drop", "accept" }, default = "drop",
    help = "messages before authentication: dropped, or a login without a code",
  },
  roaming = {
    type = "enum", choices = { "login", "port", "address" }, default = "port",
    help = "udp: what may have changed when a terminal goes on without a login: nothing, the "
      .. "port of its address, or all of it",
  },
  edition = {
    type = "enum", choices = EDITIONS, default = "auto",
    help = "edition of bodies, where it is not the header's",
  },
  editions = {
    type = "map", choices = EDITIONS, default = {}, help = "the same for single devices",
  },
  headers = {
    type = "map", choices = { "2013", "2019" }, default = {},
    help = "header that single devices are sent, where it is not the one that they send: "
      .. "{ [\"013800138000\"] = \"2013\" }",
  },
  terminate_strings = {
    type = "list", default = {},
    help = "devices whose texts down end with a zero byte, as older texts had it; \"*\": all",
  },
  vendor = {
    type = "enum", choices = VENDORS, default = "standard",
    help = "whose extra items positions have",
  },
  vendors = {
    type = "map", choices = VENDORS, default = {}, help = "the same for single devices",
  },
  models = {
    type = "map", choices = VENDORS, default = {},
    help = "the same by the model that a registration names: { [\"MT-100\"] = \"gps51\" }",
  },
  lenient_length = {
    type = "boolean", default = false, help = "take frames whose length field is wrong",
  },
  unknown = {
    type = "enum", choices = { "accept", "refuse" }, default = "refuse",
    help = "unknown messages up are answered with 0, or with 3: not supported",
  },
  server_time = {
    type = "enum", choices = { "utc", "local" }, default = "utc",
    help = "0x8004 in UTC, as its name says, or in GMT+8",
  },
  door_sense = {
    type = "enum", choices = { "2019", "2013" }, default = "2019",
    help = "0x8500 of 2019: 0 locks and 1 opens, as its text has it, or the other way round",
  },
  allow = {
    type = "list", default = {},
    help = "devices that may be sent what can disable a vehicle; \"*\": all",
  },
  fragment_answers = {
    type = "enum", choices = { "auto", "each", "last" }, default = "auto",
    help = "which packets of a long message are answered; auto: each of 0x0801",
  },
  packets = { type = "integer", default = 4096, min = 1, max = 65535, help = "of one message" },
  reassembly = { type = "size", default = "1MiB", help = "held for one connection" },
  reassembly_total = { type = "size", default = "8MiB", help = "held by a worker" },
  reassembly_time = { type = "duration", default = "5m", help = "after which a message is lost" },
  resend_after = {
    type = "duration", default = "10s", help = "until missing packets are asked for",
  },
  resend_tries = { type = "integer", default = 6, min = 0, help = "how often they are" },
  packet_size = {
    type = "integer", default = 1023, min = 16, max = 1023, help = "of a body down",
  },
  media = {
    type = "enum", choices = { "file", "binary", "hex", "none" }, default = "file",
    help = "pictures: files of the host (where it keeps none: as binary), as they are on "
      .. "media_topic, as hex in the record, or not at all",
  },
  media_topic = {
    type = "topic", default = "jt808/${device}/media_file/${file}", help = "of their bytes",
  },
  attachments = {
    type = "enum", choices = { "file", "blocks" }, default = "file",
    help = "of alarms: files of the host (where it keeps none: as blocks), or blocks as they come",
  },
  attachment_size = {
    type = "size", default = "4MiB", max = 8388608,
    help = "held of one connection until a file is whole; what is more goes out in blocks",
  },
  attachment_topic = {
    type = "topic", default = "jt808/${device}/attachment_file/${file}/${offset}",
    help = "of the blocks that come to a listener for attachments",
  },
  rsa_key = {
    type = "secret",
    help = "private key in PEM, 1024 bits: bodies up are decrypted, 0x0A00 is answered with it",
  },
  encrypt_down = {
    type = "boolean", default = false,
    help = "commands are encrypted for terminals that announced a key",
  },
  inflate = {
    type = "size", default = "64KiB", max = 262144,
    help = "most bytes of a compressed upload; 0: it is not looked into",
  },
  idle = { type = "duration", default = "10m", help = "silence that ends a connection" },
  offline = {
    type = "duration", default = "1h", help = "how long commands wait for a terminal",
  },
  command_timeout = {
    type = "duration", default = "10s", help = "T: answers are awaited for T, 2T, 6T, …",
  },
  command_tries = { type = "integer", default = 3, min = 1, max = 6, help = "sends of a command" },
  answer_timeout = {
    type = "duration", default = "2m", help = "for the answer of a terminal that has confirmed",
  },
  commands_in_flight = { type = "integer", default = 8, min = 1, max = 64, help = "per terminal" },
  commands_queued = { type = "integer", default = 64, min = 0, help = "behind these" },
}
