-- SPDX-License-Identifier: Apache-2.0
local M = {}
function M.message() return nil end
function M.position() return nil end
return M
