-- SPDX-License-Identifier: Apache-2.0
-- What a scraper gets: every line of it valid, every name documented, every listener counted
-- apart.
local Host = require "support.host"
local Mqtt = require "support.mqtt"
local exposition = require "support.exposition"

local ADAPTER = [[
local tg = require "tidegate"
local M = tg.adapter { id = "teller", version = "1.0.0", api = 1, frame = { kind = "line" } }
local words = {}
tg.spool.open("outbox", {})
function M.decode(frame) return { type = "word", data = { word = frame } } end
function M.on_message(conn, message)
  local word = message.data.word
  if word == "many" then
    local ok, err
    for i = 1, 2000 do
      ok, err = pcall(tg.metric.counter, "many_total", "Many.", { n = i })
      if not ok then break end
    end
    return conn:send(tostring(err) .. "\n")
  end
  words[word] = words[word] or tg.metric.counter("words_total", "Words\nthat \\ came.",
    { word = word, long = #word > 3 })
  words[word](2)
  conn:send "ok\n"
end
return M
]]

local host

local function scrape()
  local status, text, head = host:api("GET", "/metrics")
  assert.equal(200, status)
  assert.matches("text/plain; version=0.0.4; charset=utf%-8", head)
  return exposition.parse(text)
end

local function counted(families, name, labels)
  return exposition.sum(families, "tidegate_" .. name, labels)
end

--- name → set of labels, of the table in docs/operating.md.
local function documented()
  local names = {}
  local text = Host.read("docs/operating.md"):match "\n## Metrics\n(.-)\n##"
  for name, labels in text:gmatch "\n| `([%w_<>]+)` |([^|]*)|" do
    assert.is_nil(names[name], name .. " stands there twice")
    names[name] = {}
    for label in labels:gmatch "`([%w_]+)`" do names[name][label] = true end
  end
  return names
end

local function traffic()
  local sub = Mqtt.connect(host.ports.mqtt, { id = "sub" })
  sub:subscribe("t/#", 2)
  for i, name in ipairs { "mqtt", "other" } do
    local pub = Mqtt.connect(host.ports[name], { id = "pub" .. i })
    for qos = 0, 2 do pub:publish("t/x", "12345", { qos = qos }) end
    for _ = 0, 2 do sub:receive() end
    sub:settle()
    pub:disconnect()
  end
  local bad = Mqtt.connect(host.ports.other, { id = "bad", user = "nobody", password = "x",
    refused = true })
  assert.equal(0x86, bad.connack.reason)
  sub.tcp:close()
end

describe("/metrics", function()
  setup(function()
    local folder = Host.folder() .. "/teller"
    assert(require("luv").fs_mkdir(folder, 448))
    Host.write(folder .. "/init.lua", ADAPTER)
    host = Host.start { config = {
      plugins = { "mqtt", { name = folder } },
      listeners = {
        { name = "mqtt", adapter = "mqtt", anonymous = true },
        { name = "other", adapter = "mqtt", anonymous = true },
        { name = "words", adapter = "teller", anonymous = true },
      },
    } }
    traffic()
  end)
  teardown(function() host:stop() Host.cleanup() end)

  it("has nothing but valid lines, each family once", function()
    local families = scrape()
    assert.is_true(families.process_start_time_seconds.series[1].value > 1.7e9)
    assert.equal("gauge", families.tidegate_sessions.kind)
    assert.equal("counter", families.tidegate_listener_events_total.kind)
  end)

  it("counts MQTT for each listener apart", function()
    local families
    Host.eventually(function()
      families = scrape()
      return counted(families, "mqtt_connections") == 0
        and counted(families, "mqtt_disconnects_total") == 3
    end, "no connections")
    for listener, share in pairs { mqtt = 1, other = 1 } do
      local function here(name, labels)
        labels = labels or {}
        labels.listener = listener
        return counted(families, "mqtt_" .. name, labels)
      end
      for qos = 0, 2 do
        assert.equal(share, here("messages_received_total", { qos = tostring(qos) }))
      end
      assert.equal(3, here("packets_received_total", { packet = "publish" }))
      assert.equal(1, here("packets_sent_total", { packet = "puback" }))
      assert.equal(15, here "payload_bytes_received_total")
      assert.equal(1, here("disconnects_total", { by = "client", reason = "success" }))
    end
    local sent = { listener = "mqtt" }
    assert.equal(6, counted(families, "mqtt_messages_sent_total", sent))
    assert.equal(30, counted(families, "mqtt_payload_bytes_sent_total", sent))
    assert.equal(0, counted(families, "mqtt_messages_sent_total", { listener = "other" }))
    assert.equal(1, counted(families, "mqtt_disconnects_total", { by = "network",
      listener = "mqtt" }))
    assert.equal(1, counted(families, "mqtt_connacks_total", { listener = "other",
      reason = "bad_user_name_or_password" }))
  end)

  it("takes labels from a script, and bounds how many", function()
    local device = Host.connect(host.ports.words)
    for _, word in ipairs { "one", 'a"b\\c', "three", "one" } do
      device:send(word .. "\n"):expect "ok\n"
    end
    local families = scrape()
    local words = families.tidegate_teller_words_total
    assert.equal("Words\\nthat \\\\ came.", words.help)
    assert.equal(4, counted(families, "teller_words_total", { word = "one", long = "false" }))
    assert.equal(2, counted(families, "teller_words_total", { word = 'a"b\\c', long = "true" }))
    assert.equal(2, counted(families, "teller_words_total", { word = "three" }))
    device:send "many\n"
    local told = device:read_to "\n"
    assert.matches("metric 'many_total' has too many sets of labels: at most 1000", told)
    assert.equal(1000, #scrape().tidegate_teller_many_total.series)
    device:close()
  end)

  it("has what the manual lists, with the labels that it lists, and no more", function()
    local names, families = documented(), scrape()
    for name, family in pairs(families) do
      if not name:match "^tidegate_teller_[wm]" then
        local entry = names[name] or names[name:gsub("^tidegate_teller_", "tidegate_<plugin>_")]
        assert(entry, name .. " is not in docs/operating.md")
        for _, series in ipairs(family.series) do
          for label in pairs(series.labels) do
            assert(entry[label], ("%s: docs/operating.md lacks the label %s"):format(name, label))
          end
        end
      end
    end
    for name, labels in pairs(names) do
      local family = families[name] or families[name:gsub("<plugin>", "teller")]
      assert(family, name .. " is in docs/operating.md, but not in /metrics")
      for label in pairs(labels) do
        assert(family.series[1].labels[label], ("%s has no label %s"):format(name, label))
      end
    end
  end)
end)
