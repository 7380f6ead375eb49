// SPDX-License-Identifier: Apache-2.0
// Empty: the object of this unit holds the code of a precompiled header (cmake/pch.cmake).
