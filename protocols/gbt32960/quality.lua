-- SPDX-License-Identifier: Apache-2.0
-- What a vehicle's frames are worth: counters that live with its session, are told by the
-- command `quality`, and are added up for all in the metrics.
local tg = require "tidegate"

local M = {}

local ticks, now, from_bytes = tg.time.ticks, tg.time.now, tg.time.from_bytes

local totals = {
  reports = tg.metric.counter("reports", "realtime reports"),
  reissued = tg.metric.counter("reissued", "reissued reports"),
  errors = tg.metric.counter("unit_errors", "units that could not be read"),
  abnormal = tg.metric.counter("abnormal", "values that their vehicle calls abnormal"),
  invalid = tg.metric.counter("invalid", "values that their vehicle calls invalid"),
  flaws = tg.metric.counter("flaws", "values out of range, and other flaws"),
  foreign = tg.metric.counter("foreign", "frames of a VIN that is not logged in on their link"),
  takeovers = tg.metric.counter("takeovers", "VINs that moved to another link"),
  refused = tg.metric.counter("refused", "logins that were refused"),
  damaged = tg.metric.counter("damaged", "frames with a wrong checksum"),
}

-- Vehicles that have series of their own: few, and named by the config.
local PER_VEHICLE = { "reports", "reissued", "errors", "abnormal", "invalid", "flaws", "damaged" }
local GAUGES = {
  gap = { "vehicle_gap_ms", "time between a watched vehicle's last two reports" },
  clock_offset = { "vehicle_clock_offset_ms", "how far a watched vehicle's clock is ahead" },
}
local own = {}

--- A gauge takes differences, and is what all workers have added.
local function gauge(what, vin)
  local add, last = tg.metric.gauge(what[1], what[2], { vin = vin }), 0
  return function(value)
    add(value - last)
    last = value
  end
end

--- Gives vehicles series of their own in the metrics.
---@param vins string[]
function M.watch(vins)
  for _, vin in ipairs(vins) do
    own[vin] = {}
    for _, what in ipairs(PER_VEHICLE) do
      own[vin][what] = tg.metric.counter("vehicle_" .. what, "of a vehicle that is watched",
        { vin = vin })
    end
    for what, name in pairs(GAUGES) do own[vin][what] = gauge(name, vin) end
  end
end

--- Counts what belongs to no vehicle.
function M.count(what, n) totals[what](n or 1) end

--- Counters of a vehicle, from its login on. Those that are missing are at 0: most vehicles
--- never need most of them, and vehicles are many.
function M.new(vin) return { vin = vin, since = now(), frames = 0 } end

local function add(q, what, n)
  if n > 0 then
    q[what] = (q[what] or 0) + n
    totals[what](n)
    if own[q.vin] then own[q.vin][what](n) end
  end
end

local function set(q, what, value)
  local shown = own[q.vin]
  q[what] = value
  if shown then
    shown[what](value)
    shown.by = q
  end
end

--- How far the vehicle's clock is ahead, by a time that is that of now for it.
function M.clock(q, time6)
  local time = time6 and from_bytes(time6, 480)
  if time then set(q, "clock_offset", time - now()) end
end

--- The time between reports; reissued ones count for neither.
local function pace(q, msg)
  local at = ticks()
  if q.last then
    set(q, "gap", at - q.last)
    if q.gap > (q.gap_max or 0) then q.gap_max = q.gap end
  end
  q.last = at
  M.clock(q, msg.time6)
end

--- The vehicle has left this link, perhaps for one of another worker; if for one of this, what
--- is shown may be of that already.
function M.left(q)
  local shown = own[q.vin]
  if not shown or shown.by ~= q then return end
  for what in pairs(GAUGES) do shown[what](0) end
  shown.by = nil
end

--- A frame of a vehicle that is logged in. @param q table its counters
function M.frame(q) q.frames = q.frames + 1 end

--- @param q table a vehicle's counters
function M.report(q, msg)
  if msg.type == "report" then
    add(q, "reports", 1)
    if msg.time6 then pace(q, msg) end
  else
    add(q, "reissued", 1)
  end
  if msg.marks then
    add(q, "abnormal", msg.marks.abnormal)
    add(q, "invalid", msg.marks.invalid)
  end
  if msg.flaws then add(q, "flaws", #msg.flaws) end
  if msg.error then add(q, "errors", 1) end
end

--- A frame with a wrong checksum. @param q table? of whose it says that it is
function M.damaged(q)
  if q then add(q, "damaged", 1) else totals.damaged(1) end
end

--- For the topic `quality`.
function M.data(vin, v)
  local q = v.q
  return {
    vin = vin, edition = v.edition, since = tg.time.format(q.since), frames = q.frames,
    reports = q.reports or 0, reissued = q.reissued or 0, errors = q.errors or 0,
    abnormal = q.abnormal or 0, invalid = q.invalid or 0, flaws = q.flaws or 0,
    checksum_errors = q.damaged or 0,
    gap_ms = q.gap, gap_max_ms = q.gap_max, clock_offset_ms = q.clock_offset,
  }
end

return M
