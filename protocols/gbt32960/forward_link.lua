-- SPDX-License-Identifier: Apache-2.0
-- One link to an upper platform, as its client: login, frames with their answers, logout. A
-- window of frames is on its way at a time; the header has no number, and a platform answers
-- one connection in its order, so an answer is the first open one of its VIN and command. When
-- all are answered the window leaves the spool; when one is not, the link is given up, and a
-- new one sends the window again, as reissued.
--
-- What is answered with an error is sent again later, by itself (the standard: three times, a
-- minute between), so that one vehicle that the platform does not want holds up no other.
local tg = require "tidegate"
local frames = require "forward_frames"

local M = {}

local now, ticks = tg.time.now, tg.time.ticks
local OK = 0x01

-- ---- metrics -----------------------------------------------------------------------------------

local HELP = {
  sent = "frames sent to upper platforms", acked = "… and acknowledged by them",
  reissued = "frames sent as reissued", rejected = "frames answered with an error",
  given_up = "frames given up after their last try", cuts = "links that ended",
  unanswered = "windows of frames that were not answered in time",
  dial_errors = "attempts to connect that could not even begin",
}

local function counters_of(one)
  local all = {}
  for name, help in pairs(HELP) do
    all[name] = tg.metric.counter("forward_" .. name, help, { link = one.name })
  end
  all.up = tg.metric.gauge("forward_up", "1: logged in at the upper platform", { link = one.name })
  return all
end

-- ---- sending -----------------------------------------------------------------------------------

--- As conn:send, but waits while the peer is slow.
local function send(conn, bytes)
  while conn.open do
    local ok, err = conn:send(bytes)
    if ok or err.code ~= "FULL" then return ok end
    tg.sleep "50ms"
  end
end

local function expect(state, frame, item)
  local key = frames.key_of(frame)
  local open = state.open[key] or {}
  open[#open + 1] = item or false
  state.open[key] = open
  state.left = state.left + 1
end

--- A vehicle's login goes before its first frame on this connection.
local function frames_of(conn, one, item)
  local state = conn.state
  local _, login, frame = frames.read_item(item.bytes)
  local cmd, vin = frame:byte(3), frame:sub(5, 21)
  local list = {}
  if one.relogin and cmd ~= 0x01 and login ~= "" and not state.known[vin] then
    list[1] = { frame = login }
  end
  state.known[vin] = cmd ~= 0x04 or nil
  if cmd == 0x02 and item.at < state.since then
    frame = frames.reissued(frame)
    state.reissued = state.reissued + 1
    one.counters.reissued()
  end
  list[#list + 1] = { frame = frame, item = item }
  return list
end

--- Sends the items and waits for all answers. @return boolean all were answered
local function exchange(conn, one, items)
  local state, all = conn.state, {}
  state.open, state.left, state.errors, state.reissued = {}, 0, {}, 0
  for _, item in ipairs(items) do
    for _, what in ipairs(frames_of(conn, one, item)) do all[#all + 1] = what end
  end
  for i, what in ipairs(all) do
    expect(state, what.frame, what.item)
    one.counters.sent()
    if i < #all and not send(conn, what.frame) then return false end
  end
  local done = conn:request(all[#all].frame, { key = "window", timeout = one.answer_timeout })
  if done then return true end
  if conn.open then
    one.counters.unanswered()
    conn:close("timeout", "the upper platform does not answer")
  end
  return false
end

--- What was answered with an error waits for its next try, or was tried often enough.
local function set_aside(one, errors)
  for _, item in ipairs(errors) do
    local tries, login, frame = frames.read_item(item.bytes)
    if tries + 1 >= one.tries then
      one.counters.given_up()
      tg.log.warn("forward %s: %s is refused by the upper platform, frame %s", one.name,
        frame:sub(5, 21), tg.hex.encode(frame:sub(1, 64)))
    else
      one.again:push(frames.item(login, frame, tries + 1))
    end
  end
end

--- Reissues go out no faster than the platform wants them.
local function pace(one, state, began)
  local due = state.reissued * 1000 // one.reissue_rate
  local spent = ticks() - began
  if due > spent then tg.sleep((due - spent) / 1000) end
end

--- One window from `queue`. @return boolean? sent; nil: the link is of no use any more
local function pass_on(conn, one, queue, wait)
  local items, err = queue:peek(one.window, wait)
  if not items then
    tg.log.error("forward %s: the spool cannot be read: %s", one.name, err.message)
    tg.sleep "5s"
    return false
  end
  if #items == 0 or not conn.open then return false end
  local began = ticks()
  if not exchange(conn, one, items) then return nil end
  set_aside(one, conn.state.errors)
  queue:ack(items[#items].id)
  pace(one, conn.state, began)
  return true
end

--- Those that had an error and have waited: all that are there now, each once.
local function try_again(conn, one)
  local stats = one.again:stats()
  local last = stats and stats.next - 1 or 0
  while conn.open do
    local items = one.again:peek(1)
    if not items or #items == 0 or items[1].id > last then return end
    if items[1].at + one.retry * 1000 > now() then return end
    if pass_on(conn, one, one.again) == nil then return end
  end
end

-- ---- one link at a time ------------------------------------------------------------------------

-- After a reload the old version's link is still there. The newest version owns it; the old one
-- says good-bye behind its window, and the new one waits for that.

local function owns(one) return tg.kv.get("forward-owner/" .. one.name) == one.token end

local function occupy(one)
  local key = "forward-busy/" .. one.name
  while not tg.kv.add(key, one.token, { ttl = one.answer_timeout + 5 }) do
    if tg.kv.get(key) == one.token then break end
    tg.sleep "100ms"
  end
end

local function stay(one)
  tg.kv.set("forward-busy/" .. one.name, one.token, { ttl = one.answer_timeout + 5 })
end

local function vacate(one)
  local key = "forward-busy/" .. one.name
  if tg.kv.get(key) == one.token then tg.kv.del(key) end
end

local function pump(conn, one)
  while conn.open and owns(one) do
    stay(one)
    if pass_on(conn, one, one.queue, "1s") == nil then return end
    try_again(conn, one)
  end
  if not conn.open then return end
  M.leave(conn)
  conn:close()
end

-- ---- login and logout --------------------------------------------------------------------------

--- @return boolean logged in
local function log_in(conn, one)
  for try = 1, one.tries do
    local serial = frames.next_serial(one)
    local frame = frames.platform_frame(one, 0x05, serial)
    local answer, err = conn:request(frame, { key = "login", timeout = one.retry })
    if answer and answer.flag == OK then
      conn.state.serial = serial
      return true
    end
    if not conn.open then return false end
    tg.log.warn("forward %s: login %d of %d: %s", one.name, try, one.tries,
      answer and "refused, flag " .. answer.flag or err.message)
    if answer and try < one.tries then tg.sleep(one.retry) end
  end
  one.rest_until = now() + one.login_wait * 1000
  conn:close("auth", "the upper platform takes no login")
  return false
end

local function serve(conn, one)
  local rest = (one.rest_until or 0) - now()
  if rest > 0 then tg.sleep(rest / 1000) end
  occupy(one)
  if not conn.open or not log_in(conn, one) then return end
  one.counters.up(1)
  conn.state.since, conn.state.known, conn.state.logged_in = now(), {}, true
  tg.log.info("forward %s: logged in at %s:%d", one.name, one.host, one.port)
  pump(conn, one)
end

--- The host tries again by itself where nobody answers. What it does not even begin (a certificate
--- that cannot be read, no memory) is tried again here.
local function dial(one, wait)
  local ok, err = tg.dial {
    host = one.host, port = one.port, tls = one.tls, insecure = one.insecure,
    ca_file = one.ca_file, cert_file = one.cert_file, key_file = one.key_file,
    backoff = one.backoff, backoff_max = one.backoff_max, options = { forward = one.index },
  }
  if ok then return end
  one.counters.dial_errors()
  tg.log.warn("forward %s: %s; again in %g s", one.name, err.message, wait)
  tg.timer.after(wait, function()
    if owns(one) then dial(one, math.min(2 * wait, one.backoff_max)) end
  end)
end

--- Begins to dial, on the worker that has the link.
function M.start(one)
  one.counters, one.token = counters_of(one), ("%d.%d"):format(tg.worker(), now())
  tg.kv.set("forward-owner/" .. one.name, one.token)
  dial(one, one.backoff)
end

--- The connection is there. Its answers are handled while the work goes on in a timer's run.
function M.up(conn, one)
  conn.state.forward = one.index
  M.links = M.links or {}
  M.links[conn.id] = one
  tg.timer.after(0, function() serve(conn, one) end)
end

function M.down(conn, reason)
  local one = M.links[conn.id]
  M.links[conn.id] = nil
  one.counters.cuts()
  if conn.state.logged_in then one.counters.up(-1) end
  vacate(one)
  tg.log.info("forward %s: the link ended: %s", one.name, reason)
  if reason == "SHUTDOWN" or not owns(one) then return end
  tg.timer.after(one.backoff, function() dial(one, one.backoff) end)
end

--- The host ends: the logout is the last that leaves.
function M.leave(conn)
  local one = M.links[conn.id]
  if conn.state.logged_in then conn:send(frames.platform_frame(one, 0x06, conn.state.serial)) end
end

--- What the upper platform says: answers. Commands of its own are none of a platform link's.
function M.answer(conn, msg)
  local state, one = conn.state, M.links[conn.id]
  if msg.flag == 0xFE then return end
  if msg.cmd == 0x05 then return conn:answer("login", msg) end
  local open = state.open and state.open[msg.id .. string.char(msg.cmd)]
  if not open or #open == 0 then return end
  local item = table.remove(open, 1)
  if msg.flag == OK then
    one.counters.acked()
  else
    one.counters.rejected()
    if item then state.errors[#state.errors + 1] = item end
  end
  state.left = state.left - 1
  if state.left == 0 then conn:answer("window", true) end
end

return M
