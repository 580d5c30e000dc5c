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
  marks = tg.metric.counter("marks", "values that were abnormal or invalid"),
  flaws = tg.metric.counter("flaws", "values out of range, and other flaws"),
  foreign = tg.metric.counter("foreign", "frames of a VIN that is not logged in on their link"),
  takeovers = tg.metric.counter("takeovers", "VINs that moved to another link"),
  refused = tg.metric.counter("refused", "logins that were refused"),
  damaged = tg.metric.counter("damaged", "frames with a wrong checksum"),
}

-- Vehicles that have series of their own: few, and named by the config.
local PER_VEHICLE = { "reports", "reissued", "errors", "marks", "flaws", "damaged" }
local own = {}

--- Gives vehicles series of their own in the metrics.
---@param vins string[]
function M.watch(vins)
  for _, vin in ipairs(vins) do
    own[vin] = {}
    for _, what in ipairs(PER_VEHICLE) do
      own[vin][what] = tg.metric.counter("vehicle_" .. what, "of a vehicle that is watched",
        { vin = vin })
    end
  end
end

--- Counts what belongs to no vehicle.
function M.count(what, n) totals[what](n or 1) end

--- Counters of a vehicle, from its login on.
function M.new(vin)
  return {
    vin = vin, since = now(), frames = 0, reports = 0, reissued = 0, errors = 0, marks = 0,
    flaws = 0, damaged = 0,
  }
end

local function add(q, what, n)
  if n > 0 then
    q[what] = q[what] + n
    totals[what](n)
    if own[q.vin] then own[q.vin][what](n) end
  end
end

--- The time between reports, and how far the vehicle's clock is ahead; not of reissued
--- ones.
local function pace(q, msg)
  local at = ticks()
  if q.last then
    local gap = at - q.last
    q.gap = gap
    if gap > (q.gap_max or 0) then q.gap_max = gap end
  end
  q.last = at
  local time = from_bytes(msg.time6, 480)
  if time then q.clock_offset = time - now() end
end

--- @param q table a vehicle's counters
function M.report(q, msg)
  q.frames = q.frames + 1
  if msg.type == "report" then
    add(q, "reports", 1)
    if msg.time6 then pace(q, msg) end
  else
    add(q, "reissued", 1)
  end
  if msg.marks and msg.marks > 0 then add(q, "marks", msg.marks) end
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
    reports = q.reports, reissued = q.reissued, errors = q.errors, abnormal_or_invalid = q.marks,
    flaws = q.flaws, checksum_errors = q.damaged,
    gap_ms = q.gap, gap_max_ms = q.gap_max, clock_offset_ms = q.clock_offset,
  }
end

return M
